#pragma once
// The modes of the library.

#include "attention.hpp"
#include "automatic.hpp"
#include "chunked.hpp"
#include "recurrent.hpp"
#include "scan.hpp"
