#pragma once
#define GATESCAN_VERSION_MAJOR 0
