%% What a process is told of processes on another node, which is lost and comes back: a line for each event. The same
%% scenario as examples/bench/node_events.rs, step by step.
-module(peer_events).
-export([run/1]).
%% What runs on the other node, and the choice between two holders of a name.
-export([waits/0, ends/0, fails/0, serve/1, named/0, resolve/3]).

run(B) ->
    process_flag(trap_exit, true),
    {ok, _} = pg:start_link(),
    {ok, _} = rpc:call(B, pg, start, [pg]),
    while_connected(B),
    ok = net_kernel:monitor_nodes(true),
    Me = self(),
    Server = spawn(B, ?MODULE, serve, [Me]),
    eventually(fun() -> length(pg:get_members(workers)) =:= 1 andalso global:whereis_name(leader) =/= undefined end),
    Linked = spawn_link(B, ?MODULE, waits, []),
    {Watched, _} = spawn_monitor(B, ?MODULE, waits, []),
    spawn(fun() -> {error, _} = call(Server, never), Me ! message end),
    event("server before", told(Server)),
    io:format("stop b~n"),
    Signals = lists:sort([next() || _ <- lists:seq(1, 4)]),
    event("lost", lists:join(", ", Signals)),
    receive {nodedown, Down} when Down =:= B -> event("node", "down") end,
    apart(B, Linked, Watched),
    io:format("go on b~n"),
    eventually(fun() -> net_adm:ping(B) =:= pong end),
    receive {nodeup, B} -> event("node", "up, the same") end,
    eventually(fun() -> length(pg:get_members(workers)) =:= 1 end),
    event("group", "one member again"),
    event("linked child", alive(Linked)),
    event("watched child", alive(Watched)),
    eventually(fun() -> {ok, Told} = call(Server, told), length(Told) >= 3 end),
    event("server after", told(Server)),
    event("this side's name", receive {lost, leader} -> "lost" after 0 -> "kept" end).

while_connected(B) ->
    Child1 = spawn_link(B, ?MODULE, waits, []),
    exit(Child1, kill),
    event("link, killed", next()),
    {Ended, _} = spawn_monitor(B, ?MODULE, ends, []),
    event("monitor, returns", next()),
    monitor(process, Ended),
    event("monitor of an ended process", next()),
    link(Ended),
    event("link to an ended process", next()),
    {Child2, _} = spawn_monitor(B, ?MODULE, waits, []),
    exit(Child2, shutdown),
    event("exit signal", next()),
    {Child3, _} = spawn_monitor(B, ?MODULE, waits, []),
    exit(Child3, normal),
    event("exit signal normal", something()),
    exit(Child3, kill),
    event("kill", next()),
    {Child4, _} = spawn_monitor(B, ?MODULE, waits, []),
    spawn(fun() -> link(Child4), exit(as_told) end),
    event("link, the local side fails", next()),
    Child5 = spawn(B, ?MODULE, waits, []),
    {_, Unlinked} = spawn_monitor(fun() -> link(Child5), unlink(Child5), exit(as_told) end),
    receive {'DOWN', Unlinked, process, _, as_told} -> ok end,
    event("unlinked", alive(Child5)),
    monitor(process, Child5),
    monitor(process, Child5),
    exit(Child5, kill),
    First = next(),
    event("two monitors", [First, ", ", next()]),
    Child6 = spawn_link(B, ?MODULE, fails, []),
    event("link, fails", next()),
    exit(Child6, kill),
    event("kill of an ended process", something()),
    Child7 = spawn(B, ?MODULE, named, []),
    eventually(fun() -> global:whereis_name(name) =/= undefined andalso length(pg:get_members(group)) =:= 1 end),
    event("name that is taken", case global:register_name(name, self()) of no -> "refused"; yes -> "given" end),
    exit(Child7, kill),
    eventually(fun() -> global:whereis_name(name) =:= undefined andalso pg:get_members(group) =:= [] end),
    event("name and group of an ended process", "free, empty").

apart(B, Linked, Watched) ->
    eventually(fun() -> pg:get_members(workers) =:= [] andalso global:whereis_name(leader) =:= undefined end),
    event("name and group of a lost node", "free, empty"),
    link(Linked),
    event("link to a lost node", next()),
    monitor(process, Watched),
    event("monitor of a lost node", next()),
    Request = spawn_request(B, ?MODULE, waits, [], []),
    receive {spawn_reply, Request, error, Why} -> event("spawn on a lost node", atom_to_list(Why)) end,
    Watched ! message,
    event("send to a lost node", "nothing"),
    Given = global:register_name(leader, self(), fun ?MODULE:resolve/3),
    event("name of a lost node", case Given of yes -> "given"; no -> "refused" end).

%% The holder on a keeps the name, and the other one is told.
resolve(Name, One, Other) ->
    {Winner, Loser} = case atom_to_list(node(One)) of
        "a@" ++ _ -> {One, Other};
        _ -> {Other, One}
    end,
    Loser ! {lost, Name},
    Winner.

serve(Parent) ->
    process_flag(trap_exit, true),
    monitor(process, Parent),
    link(Parent),
    yes = global:register_name(leader, self(), fun ?MODULE:resolve/3),
    ok = pg:join(workers, self()),
    served([]).
served(Told) ->
    receive
        {'EXIT', _, Reason} -> served(lists:sort(["exit " ++ word(Reason) | Told]));
        {'DOWN', _, process, _, Reason} -> served(lists:sort(["down " ++ word(Reason) | Told]));
        {lost, leader} -> served(Told ++ ["lost the name"]);
        {told, From, Ref} -> From ! {Ref, lists:sort(Told)}, served(Told);
        _ -> served(Told)
    end.

%% As gen_server does it.
call(Server, What) ->
    Ref = monitor(process, Server),
    Server ! {What, self(), Ref},
    receive
        {Ref, Answer} -> demonitor(Ref, [flush]), {ok, Answer};
        {'DOWN', Ref, process, _, Reason} -> {error, Reason}
    end.
told(Server) ->
    {ok, Told} = call(Server, told),
    lists:join(", ", Told).

named() ->
    yes = global:register_name(name, self()),
    ok = pg:join(group, self()),
    waits().
waits() -> receive nothing -> ok end.
ends() -> ok.
fails() -> exit(as_told).

alive(Pid) ->
    case rpc:call(node(Pid), erlang, is_process_alive, [Pid]) of
        true -> "alive";
        false -> "ended"
    end.

next() ->
    receive
        {'EXIT', _, Reason} -> "exit " ++ word(Reason);
        {'DOWN', _, process, _, Reason} -> "down " ++ word(Reason);
        message -> "message"
    after 60000 -> exit(nothing_comes)
    end.
something() ->
    receive {'EXIT', _, _} -> "something"; {'DOWN', _, _, _, _} -> "something" after 300 -> "nothing" end.

word(Reason) when Reason =:= normal; Reason =:= killed; Reason =:= shutdown; Reason =:= noproc; Reason =:= noconnection ->
    atom_to_list(Reason);
word(_) -> "error".

eventually(F) -> eventually(F, 12000).
eventually(F, N) when N > 0 ->
    case F() of
        true -> ok;
        false -> timer:sleep(5), eventually(F, N - 1)
    end.

event(Step, What) -> io:format("event ~s: ~s~n", [Step, What]).
