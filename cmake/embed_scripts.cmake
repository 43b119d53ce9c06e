# SPDX-License-Identifier: MIT
# cmake -DOUT=scripts.c -DSCRIPTS="a.lua;b.lua" -P embed_scripts.cmake: each a.lua becomes the NUL-ended arrays lua_a
# and lua_a_sha, its SHA-1.
set(text "/* Made from the .lua files of store/redis/ by cmake/embed_scripts.cmake. */\n#include \"store/redis/scripts.h\"\n")
foreach(script IN LISTS SCRIPTS)
    get_filename_component(name ${script} NAME_WE)
    file(READ ${script} hex HEX)
    file(SHA1 ${script} sha)
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
    string(APPEND text "const char lua_${name}[] = {${bytes}0};\nconst char lua_${name}_sha[] = \"${sha}\";\n")
endforeach()
file(WRITE ${OUT} "${text}")
