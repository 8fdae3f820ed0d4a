// The programs that mpirun has started together. Nothing of MPI is known here: mpi/ranks.cpp, and
// mpi/no_ranks.cpp where the program is built without it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "device_calls/device.hpp"

namespace replay {

class ranks {
 public:
  virtual ~ranks() = default;
  /// Null where this program runs alone: mpirun did not start it, or it knows no MPI.
  static std::unique_ptr<ranks> join(int& argc, char**& argv);

  virtual int own() const = 0;
  virtual int count() const = 0;
  /// The host, each rank with its own tokens; `continues` as sequence_parallel has it.
  virtual std::unique_ptr<device_calls::device> place(bool continues) const = 0;

  /// On every rank: the least of what they say.
  virtual int least(int own) const = 0;
  /// On every rank: what `from` has.
  virtual void broadcast(int from, std::string& text) const = 0;
  virtual void send(int to, std::span<const std::byte> bytes) const = 0;
  virtual void receive(int from, std::span<std::byte> bytes) const = 0;
  /// Ends the programs of all ranks: where one has failed that others wait for.
  [[noreturn]] virtual void abort(int code) const = 0;
};

}  // namespace replay
