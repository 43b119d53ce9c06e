# SPDX-License-Identifier: MIT
# cmake -DOUT=pages.c -DPAGES="a.html;b.html" -P embed_pages.cmake: each a.html becomes page_a and page_a_size. A line
# @@path@@ in a page is replaced by that file, whose path is from the page's folder: the browser gets one file.
set(text "/* Made from the pages of node/service by cmake/embed_pages.cmake. */\n#include <stddef.h>\n")
foreach(page IN LISTS PAGES)
    get_filename_component(name ${page} NAME_WE)
    get_filename_component(folder ${page} DIRECTORY)
    file(READ ${page} hex HEX)
    file(STRINGS ${page} parts REGEX "^@@.*@@$")
    foreach(part IN LISTS parts)
        string(REGEX REPLACE "^@@(.*)@@$" "\\1" path "${part}")
        file(READ ${folder}/${path} body HEX)
        string(HEX "${part}\n" mark)
        string(REPLACE "${mark}" "${body}" hex "${hex}")
    endforeach()
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
    string(APPEND text "extern const char page_${name}[];\nextern const size_t page_${name}_size;\nconst char page_${name}[] = {${bytes}};\nconst size_t page_${name}_size = sizeof(page_${name});\n")
endforeach()
file(WRITE ${OUT} "${text}")
