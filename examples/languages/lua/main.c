// Unmodified Lua on Lunatic: each script runs in its own process, with errors (`pcall`) and coroutines, and can spawn others.
//
//     clang --target=wasm32-wasip1 -mllvm -wasm-enable-sjlj -mllvm -wasm-use-legacy-eh=false -I . -I ../../../lunatic-sys/include
//         -I LUA *.c LUA/l*.c -D_WASI_EMULATED_SIGNAL -lwasi-emulated-signal -o main.wasm       (without lua.c and luac.c)
//
// In scripts, `spawn(code)` runs code in a new process and returns its handle as a string, `send(handle, text)` and `receive()` pass
// messages, `self()` returns the calling process, and `join(handle)` waits for a process and returns its exit reason.

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <lunatic.h>
#include <stdio.h>

enum { TEXT = 16 };

static int run(const char *code, size_t len);

LUNATIC_ENTRY(script, captured, len) {
    if (run(captured, len) != LUA_OK) lunatic_exit(LUNATIC_EXIT_ERROR, 0, "the script has failed");
}

// A handle as a string of 16 bytes.
static void push_handle(lua_State *lua, lunatic_handle handle) {
    lua_pushlstring(lua, (const char *)&handle, sizeof handle);
}

static lunatic_handle check_handle(lua_State *lua, int at) {
    size_t len;
    const char *bytes = luaL_checklstring(lua, at, &len);
    lunatic_handle handle;
    luaL_argcheck(lua, len == sizeof handle, at, "no handle");
    memcpy(&handle, bytes, sizeof handle);
    return handle;
}

static int lua_spawn(lua_State *lua) {
    size_t len;
    const char *code = luaL_checklstring(lua, 1, &len);
    lunatic_handle child;
    int32_t result = lunatic_spawn(script, code, len, &child);
    if (result != LUNATIC_OK) return luaL_error(lua, "refused: %d", (int)result);
    push_handle(lua, child);
    return 1;
}

static int lua_self(lua_State *lua) {
    push_handle(lua, lunatic_this());
    return 1;
}

static int lua_send(lua_State *lua) {
    size_t len;
    const char *text = luaL_checklstring(lua, 2, &len);
    lua_pushboolean(lua, lunatic_send(check_handle(lua, 1), TEXT, text, len) == LUNATIC_OK);
    return 1;
}

static int lua_receive(lua_State *lua) {
    const uint64_t tags[] = {TEXT};
    lunatic_header header;
    lunatic_receive(tags, 1, &header, NULL, 0, LUNATIC_NO_TIMEOUT);
    size_t len = lunatic_buffer_len();
    luaL_Buffer text;
    lunatic_buffer_take(luaL_buffinitsize(lua, &text, len), len);
    luaL_pushresultsize(&text, len);
    return 1;
}

static int lua_join(lua_State *lua) {
    lunatic_reason reason;
    int32_t kind = lunatic_join(check_handle(lua, 1), LUNATIC_NO_TIMEOUT, &reason);
    lua_pushinteger(lua, kind);
    lua_pushlstring(lua, reason.text == NULL ? "" : reason.text, reason.text_len);
    lunatic_free_reason(&reason);
    return 2;
}

// Runs code in its own interpreter; an error is written to standard error.
static int run(const char *code, size_t len) {
    lua_State *lua = luaL_newstate();
    luaL_openlibs(lua);
    lua_register(lua, "spawn", lua_spawn);
    lua_register(lua, "self", lua_self);
    lua_register(lua, "send", lua_send);
    lua_register(lua, "receive", lua_receive);
    lua_register(lua, "join", lua_join);
    int result = luaL_loadbuffer(lua, code, len, "=script");
    if (result == LUA_OK) result = lua_pcall(lua, 0, 0, 0);
    if (result != LUA_OK) fprintf(stderr, "%s\n", lua_tostring(lua, -1));
    lua_close(lua);
    return result;
}

static const char main_script[] =
    "local ok, why = pcall(function() error('caught') end)\n"
    "print(ok, why)\n"
    "local squares = coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i * i) end end)\n"
    "print(squares(), squares(), squares())\n"
    "local child = spawn([[\n"
    "  local parent, text = receive(), receive()\n"
    "  local ok, why = pcall(error, {})\n"
    "  send(parent, text:upper() .. ' ' .. type(why))\n"
    "]])\n"
    "send(child, self())\n"
    "send(child, 'hello')\n"
    "print(receive())\n"
    "print(join(child))\n"
    "print(join(spawn('error(\"not caught\")')))\n";

int main(void) { return run(main_script, sizeof main_script - 1) == LUA_OK ? 0 : 1; }
