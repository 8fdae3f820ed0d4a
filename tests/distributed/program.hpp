// What a program of ranks is: the place of a rank, and a main where a failure on one rank ends its
// program with 1, and that of all.
#pragma once

#include <gtest/gtest.h>
#include <mpi.h>

namespace {

int rank() {
  int r;
  MPI_Comm_rank(MPI_COMM_WORLD, &r);
  return r;
}
int rank_count() {
  int n;
  MPI_Comm_size(MPI_COMM_WORLD, &n);
  return n;
}

}  // namespace

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  ::testing::InitGoogleTest(&argc, argv);
  int failed = RUN_ALL_TESTS();
  MPI_Allreduce(MPI_IN_PLACE, &failed, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
  MPI_Finalize();
  return failed;
}
