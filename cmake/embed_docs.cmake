# SPDX-License-Identifier: MIT
# cmake -DOUT=docs.c -DDOCS="operate.md;redis.md" -P embed_docs.cmake: the table fleet_docs_pages (node/service/fleet/docs.h).
set(bodies "")
set(rows "")
foreach(page IN LISTS DOCS)
    get_filename_component(name ${page} NAME_WE)
    string(MAKE_C_IDENTIFIER ${name} symbol)
    file(READ ${page} hex HEX)
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
    string(APPEND bodies "static const unsigned char doc_${symbol}[] = {${bytes}};\n")
    string(APPEND rows "    {\"${name}\", doc_${symbol}, sizeof(doc_${symbol})},\n")
endforeach()
file(WRITE ${OUT} "/* Made from docs/ by cmake/embed_docs.cmake. */\n#include \"node/service/fleet/docs.h\"\n${bodies}const struct fleet_docs_page fleet_docs_pages[] = {\n${rows}    {0, 0, 0}};\n")
