# cmake -DOUT=scripts.c -DSCRIPTS="a.lua;b.lua" -P embed.cmake: each a.lua becomes the NUL-ended array lua_a.
set(text "/* Made from store/*.lua by store/embed.cmake. */\n#include \"store/scripts.h\"\n")
foreach(script IN LISTS SCRIPTS)
    get_filename_component(name ${script} NAME_WE)
    file(READ ${script} hex HEX)
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
    string(APPEND text "const char lua_${name}[] = {${bytes}0};\n")
endforeach()
file(WRITE ${OUT} "${text}")
