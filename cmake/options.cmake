# Language, warnings, hardening and sanitizers: one interface target that every module links.
find_package(Threads REQUIRED)
find_package(Boost 1.81 REQUIRED)
find_package(OpenSSL 3.0 REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(prometheus-cpp REQUIRED)
find_package(simdjson REQUIRED)
find_package(ZLIB REQUIRED)
find_package(CURL REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(CLI11 REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(libdeflate REQUIRED IMPORTED_TARGET libdeflate)
pkg_check_modules(libnghttp2 REQUIRED IMPORTED_TARGET libnghttp2>=1.52)
pkg_check_modules(libsystemd REQUIRED IMPORTED_TARGET libsystemd)
pkg_check_modules(sqlite3 REQUIRED IMPORTED_TARGET sqlite3>=3.40)
pkg_check_modules(cjose REQUIRED IMPORTED_TARGET cjose) # its .pc asks for jansson too

add_library(fanfare_options INTERFACE)
target_compile_features(fanfare_options INTERFACE cxx_std_20)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
target_include_directories(fanfare_options INTERFACE ${PROJECT_SOURCE_DIR}/include)
target_include_directories(fanfare_options SYSTEM INTERFACE ${Boost_INCLUDE_DIRS})
target_compile_definitions(fanfare_options INTERFACE
  BOOST_ASIO_SEPARATE_COMPILATION BOOST_BEAST_SEPARATE_COMPILATION BOOST_ASIO_NO_DEPRECATED
  BOOST_ASIO_DISABLE_BOOST_COROUTINE FANFARE_VERSION="${PROJECT_VERSION}")
target_link_libraries(fanfare_options INTERFACE Threads::Threads)

target_compile_options(fanfare_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wold-style-cast
  -Woverloaded-virtual -Wimplicit-fallthrough -Wextra-semi)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(fanfare_options INTERFACE -Wsuggest-override -Wduplicated-cond -Wlogical-op)
endif()
if(FANFARE_WERROR)
  target_compile_options(fanfare_options INTERFACE -Werror)
endif()

# Libraries hold machine code too, for the tests, which link without optimising again.
if(FANFARE_TESTS AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  set(CMAKE_CXX_COMPILE_OPTIONS_IPO -flto=auto -ffat-lto-objects)
endif()

if(FANFARE_SANITIZE)
  target_compile_options(fanfare_options INTERFACE -fsanitize=${FANFARE_SANITIZE}
    -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(fanfare_options INTERFACE -fsanitize=${FANFARE_SANITIZE})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU") # instrumented code makes g++ 12 see what is not there
    target_compile_options(fanfare_options INTERFACE -Wno-maybe-uninitialized)
  endif()
  if(FANFARE_FUZZ) # coverage of the libraries guides the fuzzer; without it only the target's own file
    target_compile_options(fanfare_options INTERFACE -fsanitize=fuzzer-no-link)
  endif()
  if(FANFARE_SANITIZE MATCHES "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(fanfare_options INTERFACE -Wno-tsan)
  endif()
elseif(CMAKE_BUILD_TYPE STREQUAL "Release")
  target_compile_options(fanfare_options INTERFACE -fstack-protector-strong
    -fcf-protection=full -fstack-clash-protection)
  target_compile_definitions(fanfare_options INTERFACE _GLIBCXX_ASSERTIONS _FORTIFY_SOURCE=2)
  target_link_options(fanfare_options INTERFACE -Wl,-z,relro,-z,now)
endif()
