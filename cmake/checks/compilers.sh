#!/bin/sh
# Public headers alone and the calls of one recurrence, warnings as errors, with every compiler of
# this list that is found, in C++20 and 23, on libstdc++ and, clang, on libc++ where its headers are.
#   compilers.sh [COMPILER...]
set -eu
cd "$(dirname "$0")/../.."
[ $# -gt 0 ] || set -- g++-12 g++-13 g++-14 clang++-14 clang++-15 clang++-16 clang++-17 clang++-18 \
  clang++-19
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
echo '#include <gatescan/instantiate.hpp>
GATESCAN_INSTANTIATE(gatescan::gla, float);' > "$folder/calls.cpp"
for header in include/gatescan/*.hpp include/gatescan/adapt/*.hpp; do
  name=${header#include/}
  echo "#include <$name>" > "$folder/$(echo "$name" | tr / _).cpp"
done

tried=0
for compiler in "$@"; do
  command -v "$compiler" > /dev/null || continue
  libraries=-stdlib=libstdc++
  case $compiler in
    g++*) libraries=- ;;
    *) echo '#include <version>' > "$folder/library.cc"
       "$compiler" -std=c++20 -stdlib=libc++ -fsyntax-only "$folder/library.cc" 2> /dev/null &&
         libraries="$libraries -stdlib=libc++" ;;
  esac
  for library in $libraries; do
    [ "$library" != - ] || library=
    for standard in c++20 c++2b; do
      for source in "$folder"/*.cpp; do
        "$compiler" -std=$standard $library -march=x86-64-v3 -Wall -Wextra -Wconversion -Wshadow \
          -Werror -Iinclude -I/usr/include/eigen3 -fsyntax-only "$source"
      done
      tried=$((tried + 1))
      echo "$compiler -std=$standard $library: passed"
    done
  done
done
[ $tried -gt 0 ] || { echo 'none of these compilers was found' >&2; exit 1; }
