%% The works of examples/bench/nodes.rs on nodes of Erlang/OTP, and the scenario of node_events.rs.
%% erlc peer_nodes.erl peer_events.erl
%% erl -noshell -name b@127.0.0.1 -run peer_nodes wait [NODE]    a node without a program; NODE is pinged first
%% erl -noshell -name a@127.0.0.1 -run peer_nodes main WORK N    the works; expects b@127.0.0.1, some also c@127.0.0.1
%% The program `nodes` of `benches` starts them, and stops and continues b when a line on standard output says so.
-module(peer_nodes).
-export([main/1, wait/0, wait/1]).
%% What runs on other nodes.
-export([echo/1, counts/2, hello/2, still/0]).

wait() -> wait([]).
wait(Others) ->
    [pong = net_adm:ping(list_to_atom(Other)) || Other <- Others],
    io:format("ready~n").

main([Work, NText]) ->
    N = list_to_integer(NText),
    Shown = [io_lib:format(",\"~s\":~.1f", [K, V * 1.0]) || {K, V} <- run(list_to_atom(Work), N)],
    io:format("{\"system\":\"erlang\",\"work\":\"~s\",\"n\":~b~s}~n", [Work, N, Shown]),
    halt().

b() -> connected('b@127.0.0.1').

connected(Node) ->
    case net_adm:ping(Node) of
        pong -> Node;
        pang -> timer:sleep(50), connected(Node)
    end.

run('node-call', N) ->
    There = spawn(b(), ?MODULE, echo, [self()]),
    trip(There, 0),
    {Ns, N} = timed(fun() -> lists:foldl(fun(_, X) -> trip(There, X) end, 0, lists:seq(1, N)) end),
    [{ns_per_op, Ns / N}];
run('node-send', N) -> send(N, 1);
run('node-pairs', N) -> send((N + 99) div 100 * 100, 100);
run('node-spawn', N) ->
    B = b(),
    spawn_one(B, 0),
    {Ns, ok} = timed(fun() -> lists:foreach(fun(K) -> spawn_one(B, K) end, lists:seq(1, N)) end),
    [{ns_per_op, Ns / N}];
run('node-frozen', N) ->
    Still = spawn(b(), ?MODULE, still, []),
    There = spawn(connected('c@127.0.0.1'), ?MODULE, echo, [self()]),
    trip(There, 0),
    io:format("stop b~n"),
    Message = binary:copy(<<7>>, 100000),
    Sender = spawn(fun() -> flood(Still, Message) end),
    Took = lists:sort([begin
        timer:sleep(1),
        {Ns, _} = timed(fun() -> trip(There, X) end),
        Ns / 1000
    end || X <- lists:seq(1, N)]),
    exit(Sender, kill),
    io:format("go on b~n"),
    At = fun(Share) -> lists:nth(trunc((N - 1) * Share) + 1, Took) end,
    [{p50_us, At(0.5)}, {p99_us, At(0.99)}, {max_us, At(1.0)}];
run('node-join', N) ->
    {Ns, ok} = timed(fun() ->
        pong = net_adm:ping('b@127.0.0.1'),
        all_here(N)
    end),
    [{ns_per_op, Ns}];
run('node-events', _) ->
    {Ns, _} = timed(fun() -> peer_events:run(b()) end),
    [{ns_per_op, Ns}].

timed(F) ->
    T0 = erlang:monotonic_time(nanosecond),
    R = F(),
    {erlang:monotonic_time(nanosecond) - T0, R}.

echo(To) -> receive X -> To ! X + 1, echo(To) end.
trip(There, X) -> There ! X, receive Y when is_integer(Y) -> Y end.

still() -> receive nothing -> ok end.
flood(To, Message) -> To ! Message, flood(To, Message).

send(N, Pairs) ->
    Each = N div Pairs,
    B = b(),
    Receivers = [spawn(B, ?MODULE, counts, [self(), Each]) || _ <- lists:seq(1, Pairs)],
    [receive {R, 0} -> ok end || R <- Receivers],
    {Ns, Bytes} = timed(fun() ->
        [spawn(fun() -> Message = binary:copy(<<7>>, 100), [R ! Message || _ <- lists:seq(1, Each)] end) || R <- Receivers],
        lists:sum([receive {R, Sum} -> Sum end || R <- Receivers])
    end),
    Bytes = 100 * Each * Pairs,
    [{ns_per_op, Ns / N}].
counts(To, N) -> To ! {self(), 0}, To ! {self(), count(N, 0)}.
count(0, Sum) -> Sum;
count(N, Sum) -> receive Message when is_binary(Message) -> count(N - 1, Sum + byte_size(Message)) end.

hello(To, K) -> To ! {hello, K}.
spawn_one(B, K) ->
    Request = spawn_request(B, ?MODULE, hello, [self(), K], []),
    receive {spawn_reply, Request, ok, _} -> ok end,
    receive {hello, K} -> ok end.

all_here(N) ->
    Here = [node() | nodes()],
    case length(Here) =:= N andalso lists:all(fun(Node) -> rpc:call(Node, erlang, nodes, []) /= {badrpc, nodedown} andalso
            length(rpc:call(Node, erlang, nodes, [])) =:= N - 1 end, nodes()) of
        true -> ok;
        false -> timer:sleep(5), all_here(N)
    end.
