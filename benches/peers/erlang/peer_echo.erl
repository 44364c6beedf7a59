%% An echo server with a process for each connection, in the ordinary way: passive sockets, each owned by its process.
%% erlc peer_echo.erl && erl -noshell -run peer_echo main ADDRESS:PORT echo|once
%% Prints `listening at ADDRESS:PORT`. With `once`, a connection is closed after its first message.
-module(peer_echo).
-export([main/1]).

main([Address, Mode]) ->
    [Host, Port] = string:split(Address, ":"),
    {ok, Ip} = inet:parse_address(Host),
    Options = [binary, {ip, Ip}, {active, false}, {packet, raw}, {nodelay, true}, {reuseaddr, true}, {backlog, 4096}],
    {ok, Listener} = gen_tcp:listen(list_to_integer(Port), Options),
    {ok, Bound} = inet:port(Listener),
    io:format("listening at ~s:~b~n", [Host, Bound]),
    accept(Listener, list_to_atom(Mode)).

accept(Listener, Mode) ->
    {ok, Socket} = gen_tcp:accept(Listener),
    Server = spawn(fun() -> receive go -> echo(Socket, Mode) end end),
    ok = gen_tcp:controlling_process(Socket, Server),
    Server ! go,
    accept(Listener, Mode).

echo(Socket, Mode) ->
    case gen_tcp:recv(Socket, 0) of
        {ok, Bytes} ->
            ok = gen_tcp:send(Socket, Bytes),
            case Mode of
                echo -> echo(Socket, Mode);
                once -> gen_tcp:close(Socket)
            end;
        {error, _} ->
            gen_tcp:close(Socket)
    end.
