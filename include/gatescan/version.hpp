#pragma once

// The only place where the version is written: the build reads these three lines.
#define GATESCAN_VERSION_MAJOR 0
#define GATESCAN_VERSION_MINOR 1
#define GATESCAN_VERSION_PATCH 0
