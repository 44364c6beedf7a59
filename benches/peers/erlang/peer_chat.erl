%% A chat server with a process for each connection, whose socket is active, and a room that knows all of them.
%% erlc peer_chat.erl && erl -noshell -run peer_chat main ADDRESS:PORT chat
%% Prints `listening at ADDRESS:PORT`. The first 64 bytes of a client come back to it alone, when the client is in the room; each
%% later 64 bytes go to all clients.
-module(peer_chat).
-export([main/1]).

main([Address, _]) ->
    [Host, Port] = string:split(Address, ":"),
    {ok, Ip} = inet:parse_address(Host),
    Options = [binary, {ip, Ip}, {active, false}, {packet, raw}, {nodelay, true}, {reuseaddr, true}, {backlog, 4096}],
    {ok, Listener} = gen_tcp:listen(list_to_integer(Port), Options),
    {ok, Bound} = inet:port(Listener),
    io:format("listening at ~s:~b~n", [Host, Bound]),
    Room = spawn_link(fun() -> room([]) end),
    accept(Listener, Room).

accept(Listener, Room) ->
    {ok, Socket} = gen_tcp:accept(Listener),
    Client = spawn(fun() -> receive go -> join(Socket, Room) end end),
    ok = gen_tcp:controlling_process(Socket, Client),
    Client ! go,
    accept(Listener, Room).

room(Members) ->
    receive
        {join, Member} ->
            Member ! joined,
            room([Member | Members]);
        {say, Line} ->
            lists:foreach(fun(Member) -> Member ! {line, Line} end, Members),
            room(Members)
    end.

join(Socket, Room) ->
    {ok, Line} = gen_tcp:recv(Socket, 64),
    Room ! {join, self()},
    receive joined -> ok = gen_tcp:send(Socket, Line) end,
    ok = inet:setopts(Socket, [{active, true}]),
    talk(Socket, Room, <<>>).

talk(Socket, Room, Read) ->
    receive
        {line, Line} ->
            _ = gen_tcp:send(Socket, Line),
            talk(Socket, Room, Read);
        {tcp, Socket, More} ->
            talk(Socket, Room, say(Room, <<Read/binary, More/binary>>));
        {tcp_closed, Socket} ->
            ok
    end.

say(Room, <<Line:64/binary, More/binary>>) -> Room ! {say, Line}, say(Room, More);
say(_, Rest) -> Rest.
