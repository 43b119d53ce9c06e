# cmake -DOUT=pages.c -DPAGES="a.html;b.html" -P embed_pages.cmake: each a.html becomes page_a and page_a_size.
set(text "/* Made from the pages of node/service by cmake/embed_pages.cmake. */\n#include <stddef.h>\n")
foreach(page IN LISTS PAGES)
    get_filename_component(name ${page} NAME_WE)
    file(READ ${page} hex HEX)
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
    string(APPEND text "extern const char page_${name}[];\nextern const size_t page_${name}_size;\nconst char page_${name}[] = {${bytes}};\nconst size_t page_${name}_size = sizeof(page_${name});\n")
endforeach()
file(WRITE ${OUT} "${text}")
