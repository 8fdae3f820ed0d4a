// The place of a rank in a program of ranks.
#pragma once

#include <gtest/gtest.h>
#include <mpi.h>

namespace {

inline int rank() {
  int r;
  MPI_Comm_rank(MPI_COMM_WORLD, &r);
  return r;
}
inline int rank_count() {
  int n;
  MPI_Comm_size(MPI_COMM_WORLD, &n);
  return n;
}

}  // namespace
