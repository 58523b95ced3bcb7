// What tch lacks of libtorch's C++ interface, in C. A function that can fail gives null, or a number that is not 0, and
// leaves one line in *error, which ih_free_text takes back.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>
#include <cstring>
#include <exception>
#include <string>

inline char* ih_text(const std::string& text) { return strdup(text.c_str()); }

// Runs `call`; what it throws becomes the text of *error.
template <typename T, typename F>
T ih_guarded(T failed, char** error, F call) {
  try {
    return call();
  } catch (const c10::Error& e) {
    *error = ih_text(e.what_without_backtrace());
  } catch (const std::exception& e) {
    *error = ih_text(e.what());
  } catch (...) {
    *error = ih_text("an exception of no known type");
  }
  return failed;
}
