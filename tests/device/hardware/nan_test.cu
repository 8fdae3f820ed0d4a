#include "../nan_device_test.cpp"
