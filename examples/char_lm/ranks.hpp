// The programs that mpirun has started together, in the order in which sums are added. Nothing of
// MPI is known here: mpi/ranks.cpp, and mpi/no_ranks.cpp where the program is built without it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace char_lm {

/// `a_sequence` ranks in a row share the tokens of their sequences, one piece of time each.
class ranks {
 public:
  virtual ~ranks() = default;
  /// Null where this program runs alone: mpirun did not start it, or it knows no MPI.
  static std::unique_ptr<ranks> join(int& argc, char**& argv);

  virtual int own() const = 0;
  virtual int count() const = 0;
  /// Divides count().
  virtual void share_sequences(int a_sequence) = 0;
  int a_sequence() const { return a_sequence_; }
  int group() const { return own() / a_sequence_; }
  int groups() const { return count() / a_sequence_; }
  /// Of this rank's piece in time.
  int place() const { return own() % a_sequence_; }
  /// The MPI_Comm of those that share sequences.
  virtual const void* communicator() const = 0;

  /// On every rank the sum of what all have, added in their order.
  virtual void sum(std::span<double> x) const = 0;
  virtual std::int64_t largest(std::int64_t x) const = 0;
  virtual void broadcast(int from, std::span<std::byte> x) const = 0;
  virtual void send(int to, std::span<const float> x) const = 0;
  virtual void receive(int from, std::span<float> x) const = 0;
  /// Of those that share sequences: x goes to the next piece in time, or the one before, and `from`
  /// gets the other neighbour's; it stays as it is where there is none.
  virtual void pass(bool to_next, std::span<const float> x, std::span<float> from) const = 0;
  /// Ends the programs of all ranks: where one has failed that others wait for.
  [[noreturn]] virtual void abort(int code) const = 0;

 protected:
  int a_sequence_ = 1;
};

}  // namespace char_lm
