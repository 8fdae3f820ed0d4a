#include "../warpgroups_device_test.cpp"
