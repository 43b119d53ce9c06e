# cmake -DIN=logs.html -DOUT=logs_page.c -P embed_page.cmake: the page becomes the array logs_page.
file(READ ${IN} hex HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
file(WRITE ${OUT} "/* Made from ${IN} by node/embed_page.cmake. */\n#include \"node/service/logs_page.h\"\nconst char logs_page[] = {${bytes}};\nconst size_t logs_page_size = sizeof logs_page;\n")
