#include "../streaming_device_test.cpp"
