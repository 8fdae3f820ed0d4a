#include "../tf32_device_grid_test.cpp"
