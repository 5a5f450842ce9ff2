# cmake -DINPUT=… -DOUTPUT=… -DSYMBOL=… -DNAMESPACE=… -P embed.cmake: a file as a C++ array of bytes.
file(READ ${INPUT} hex HEX)
string(LENGTH "${hex}" digits)
math(EXPR size "${digits} / 2")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "\\\\x\\1" bytes "${hex}")
# Short literals, joined by the compiler: one escape would otherwise swallow the next digits, and
# editors choke on long lines.
string(REGEX REPLACE "(\\\\x[0-9a-f][0-9a-f]\\\\x[0-9a-f][0-9a-f]\\\\x[0-9a-f][0-9a-f]\\\\x[0-9a-f][0-9a-f]\\\\x[0-9a-f][0-9a-f]\\\\x[0-9a-f][0-9a-f]\\\\x[0-9a-f][0-9a-f]\\\\x[0-9a-f][0-9a-f])" "    \"\\1\"\n" lines "${bytes}")
string(REGEX REPLACE "\n((\\\\x[0-9a-f][0-9a-f])+)$" "\n    \"\\1\"" lines "${lines}")
file(WRITE ${OUTPUT} "#include <cstddef>\n\nnamespace ${NAMESPACE} {\nextern const char ${SYMBOL}[];\nextern const std::size_t ${SYMBOL}_size;\nconst char ${SYMBOL}[] =\n${lines};\nconst std::size_t ${SYMBOL}_size = ${size};\n}\n")
