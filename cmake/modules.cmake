# One folder of src/ as one static library. USES are its arrows: only folders declared above can be
# named, so no cycle can be written. LIBS are part of the folder's public face, PRIVATE_LIBS are not.
function(fanfare_module name)
  cmake_parse_arguments(arg "" "" "USES;LIBS;PRIVATE_LIBS" ${ARGN})
  foreach(used IN LISTS arg_USES)
    if(NOT TARGET fanfare_${used})
      message(FATAL_ERROR "${name} cannot use ${used}: it is not below")
    endif()
  endforeach()
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/${name}/*.cpp)
  list(FILTER sources EXCLUDE REGEX "/src/app/main\\.cpp$")
  add_library(fanfare_${name} STATIC ${sources} ${PROJECT_SOURCE_DIR}/cmake/empty.cpp)
  target_include_directories(fanfare_${name} PRIVATE ${PROJECT_SOURCE_DIR}/src/${name})
  list(TRANSFORM arg_USES PREPEND fanfare_)
  target_link_libraries(fanfare_${name} PUBLIC fanfare_options ${arg_USES} ${arg_LIBS}
                                        PRIVATE ${arg_PRIVATE_LIBS})
endfunction()

function(fanfare_executable)
  add_executable(fanfare ${PROJECT_SOURCE_DIR}/src/app/main.cpp)
  target_link_libraries(fanfare PRIVATE fanfare_app)
  set_target_properties(fanfare PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
endfunction()

# Embeds src/<module>/<file> into the module as `extern const char <symbol>[]` and `<symbol>_size`.
function(fanfare_embed module symbol file)
  set(input ${PROJECT_SOURCE_DIR}/src/${module}/${file})
  set(output ${CMAKE_BINARY_DIR}/embedded/${symbol}.cpp)
  add_custom_command(OUTPUT ${output}
    COMMAND ${CMAKE_COMMAND} -DINPUT=${input} -DOUTPUT=${output} -DSYMBOL=${symbol}
            -DNAMESPACE=fanfare::${module} -P ${PROJECT_SOURCE_DIR}/cmake/embed.cmake
    DEPENDS ${input} ${PROJECT_SOURCE_DIR}/cmake/embed.cmake)
  target_sources(fanfare_${module} PRIVATE ${output})
endfunction()
