%% Further works of peer_bench: trees, full mailboxes, a chat room, and kernels of the Savina suite.
-module(peer_works).
-export([run/2]).

%% A process sends N messages to this one, which receives them meanwhile.
run(send, N) ->
    Me = self(),
    {Ns, Sum} = timed(fun() -> spawn(fun() -> count_to(Me, 0, N) end), sum(N) end),
    Sum = N * (N - 1) div 2,
    [{ns_per_op, Ns / N}];
%% A tree of processes with ten children each, of N leaves, whose numbers are added up.
run(skynet, N) ->
    Me = self(),
    {Ns, Sum} = timed(fun() -> spawn(fun() -> node(Me, 0, N) end), sum(1) end),
    Sum = N * (N - 1) div 2,
    [{ns_per_op, Ns / N}];
%% 1,000 round trips while N other messages wait in the mailbox.
run(selective, N) ->
    Me = self(),
    spawn(fun() -> [Me ! {backlog, K} || K <- lists:seq(0, N - 1)], Me ! filled end),
    Server = spawn(fun answer/0),
    receive filled -> ok end,
    {Ns, 1000} = timed(fun() -> ask(Server, 1000, 0) end),
    [receive {backlog, K} -> ok end || K <- lists:seq(0, N - 1)],
    [{ns_per_op, Ns / 1000}];
%% 20 of N clients of a chat room say a line of 64 bytes each, which the room sends to all.
run(broadcast, N) ->
    Me = self(),
    Room = spawn(fun() -> room(N, Me, []) end),
    Clients = list_to_tuple([spawn(fun() -> Room ! {join, self()}, client(Room, Me, 20, 0) end) || _ <- lists:seq(1, N)]),
    receive full -> ok end,
    {Ns, ok} = timed(fun() ->
        [element(Line * N div 20 + 1, Clients) ! {speak, Line} || Line <- lists:seq(0, 19)],
        lists:foreach(fun(_) -> 190 = sum(1) end, lists:seq(1, N))
    end),
    [{ns_per_op, Ns / (N * 20)}];
%% N messages are dealt out to 60 workers.
run('fork-join', N) ->
    Me = self(),
    Workers = list_to_tuple([spawn(fun() -> Me ! sum(share(N, K, 60)) end) || K <- lists:seq(0, 59)]),
    {Ns, Sum} = timed(fun() -> deal(Workers, 0, N), sum(60) end),
    Sum = N * (N - 1) div 2,
    [{ns_per_op, Ns / N}];
%% 120 processes ping each other at random, N times in all; each has one ping at a time on its way.
run(big, N) ->
    Me = self(),
    Workers = [spawn(fun() -> pinger(Me, K, share(N, K, 120)) end) || K <- lists:seq(0, 119)],
    All = list_to_tuple(Workers),
    {Ns, N} = timed(fun() ->
        [W ! {all, All} || W <- Workers],
        [receive done -> ok end || _ <- Workers],
        [W ! stop || W <- Workers],
        sum(120)
    end),
    [{ns_per_op, Ns / N}];
%% N amounts are transferred between 1,000 accounts, which receive nothing else until the other has confirmed.
run(bank, N) ->
    Me = self(),
    Accounts = list_to_tuple([spawn(fun() -> account(Me, 1000) end) || _ <- lists:seq(1, 1000)]),
    {Ns, Sum} = timed(fun() ->
        transfer(Accounts, N, 123),
        lists:foreach(fun(_) -> receive transferred -> ok end end, lists:seq(1, N)),
        [A ! close || A <- tuple_to_list(Accounts)],
        sum(1000)
    end),
    Sum = 1000 * 1000,
    [{ns_per_op, Ns / N}];
%% A waiter serves N meals to 20 philosophers.
run(philosophers, N) ->
    Me = self(),
    {Ns, ok} = timed(fun() ->
        Guests = list_to_tuple([spawn(fun() -> philosopher(Me, K, share(N, K, 20)) end) || K <- lists:seq(0, 19)]),
        Free = list_to_tuple(lists:duplicate(20, free)),
        Calm = list_to_tuple(lists:duplicate(20, calm)),
        {Free, Calm} = wait_on(Guests, N, Free, Calm),
        ok
    end),
    [{ns_per_op, Ns / N}];
%% A row of processes, one for each prime number, sifts the numbers up to N.
run(sieve, N) ->
    Me = self(),
    {Ns, Found} = timed(fun() ->
        First = spawn(fun() -> filter(2, none, Me) end),
        numbers(First, 3, N),
        First ! {stop, 0, 0},
        receive {found, Count, Sum} -> {Count, Sum} end
    end),
    Primes = [P || P <- lists:seq(2, max(N, 2)), is_prime(P, 2)],
    Found = {length(Primes), lists:sum(Primes)},
    [{ns_per_op, Ns / N}].

timed(F) ->
    T0 = erlang:monotonic_time(nanosecond),
    R = F(),
    {erlang:monotonic_time(nanosecond) - T0, R}.

%% The part of N for one of Processes that divide it among themselves.
share(N, Place, Processes) when Place < N rem Processes -> N div Processes + 1;
share(N, _, Processes) -> N div Processes.

%% The random numbers of the suite.
random(X) -> (X * 3877 + 29573) rem 139968.

%% The sum of the next N numbers in the mailbox.
sum(N) -> sum(N, 0).
sum(0, Sum) -> Sum;
sum(N, Sum) -> receive X when is_integer(X) -> sum(N - 1, Sum + X) end.

count_to(_, N, N) -> ok;
count_to(To, K, N) -> To ! K, count_to(To, K + 1, N).

node(To, First, 1) -> To ! First;
node(To, First, Leaves) ->
    Children = min(Leaves, 10),
    children(self(), First, Leaves, Children, 0),
    To ! sum(Children).
children(_, _, _, Children, Children) -> ok;
children(Me, First, Leaves, Children, K) ->
    Share = share(Leaves, K, Children),
    spawn(fun() -> node(Me, First, Share) end),
    children(Me, First + Share, Leaves, Children, K + 1).

answer() -> receive {question, X, From} -> From ! {answer, X + 1}, answer() end.
ask(_, 0, X) -> X;
ask(Server, N, X) -> Server ! {question, X, self()}, receive {answer, Y} -> ask(Server, N - 1, Y) end.

%% A room where N clients have yet to join.
room(N, Full, Members) ->
    receive
        {join, Member} when N =:= 1 -> Full ! full, room(0, Full, [Member | Members]);
        {join, Member} -> room(N - 1, Full, [Member | Members]);
        {say, Number, Text} ->
            lists:foreach(fun(Member) -> Member ! {line, Number, Text} end, Members),
            room(N, Full, Members)
    end.
client(_, Sums, 0, Sum) -> Sums ! Sum;
client(Room, Sums, Lines, Sum) ->
    receive
        {speak, Number} ->
            Room ! {say, Number, iolist_to_binary(io_lib:format("~64..0b", [Number]))},
            client(Room, Sums, Lines, Sum);
        {line, Number, Text} when byte_size(Text) =:= 64 ->
            client(Room, Sums, Lines - 1, Sum + Number)
    end.

deal(_, N, N) -> ok;
deal(Workers, K, N) -> element(K rem 60 + 1, Workers) ! K, deal(Workers, K + 1, N).

pinger(Main, Place, Pings) ->
    receive {all, All} -> pinger(Main, All, Place, next(Main, All, Place, Pings, Place), 0) end.
pinger(Main, All, Place, {Left, Random}, Count) ->
    receive
        {ping, From} -> From ! pong, pinger(Main, All, Place, {Left, Random}, Count + 1);
        pong -> pinger(Main, All, Place, next(Main, All, Place, Left, Random), Count);
        stop -> Main ! Count
    end.
next(Main, _, _, 0, Random) -> Main ! done, {0, Random};
next(_, All, Place, Left, Random0) ->
    Random = random(Random0),
    Other = (Place + 1 + Random rem 119) rem 120,
    element(Other + 1, All) ! {ping, self()},
    {Left - 1, Random}.

%% Money goes to a later account only, so that accounts never wait for each other in a circle.
transfer(_, 0, _) -> ok;
transfer(Accounts, N, Random0) ->
    Random1 = random(Random0),
    From = Random1 rem 800,
    Random2 = random(Random1),
    To = From + 1 + Random2 rem (1000 - From - 1),
    Random3 = random(Random2),
    element(From + 1, Accounts) ! {transfer, 1 + Random3 rem 100, element(To + 1, Accounts)},
    transfer(Accounts, N - 1, Random3).
account(Teller, Balance) ->
    receive
        {transfer, Amount, To} ->
            Ref = make_ref(),
            To ! {deposit, Amount, self(), Ref},
            receive {Ref, confirmed} -> Teller ! transferred end,
            account(Teller, Balance - Amount);
        {deposit, Amount, From, Ref} ->
            From ! {Ref, confirmed},
            account(Teller, Balance + Amount);
        close ->
            Teller ! Balance
    end.

philosopher(_, _, 0) -> ok;
philosopher(Waiter, Seat, Meals) ->
    Waiter ! {eat, Seat},
    receive served -> ok end,
    Waiter ! {leave, Seat},
    philosopher(Waiter, Seat, Meals - 1).
wait_on(_, 0, Forks, Hungry) -> {Forks, Hungry};
wait_on(Guests, N, Forks0, Hungry0) ->
    receive
        {eat, Seat} ->
            {Forks, Hungry} = serve(Seat, Guests, {Forks0, setelement(Seat + 1, Hungry0, hungry)}),
            wait_on(Guests, N, Forks, Hungry);
        {leave, Seat} ->
            Other = (Seat + 1) rem 20,
            {taken, taken} = {element(Seat + 1, Forks0), element(Other + 1, Forks0)},
            Forks1 = setelement(Seat + 1, setelement(Other + 1, Forks0, free), free),
            {Forks, Hungry} = serve(Other, Guests, serve((Seat + 19) rem 20, Guests, {Forks1, Hungry0})),
            wait_on(Guests, N - 1, Forks, Hungry)
    end.
%% Serves a hungry philosopher if both forks are free.
serve(Seat, Guests, {Forks, Hungry}) ->
    Other = (Seat + 1) rem 20,
    case {element(Seat + 1, Hungry), element(Seat + 1, Forks), element(Other + 1, Forks)} of
        {hungry, free, free} ->
            element(Seat + 1, Guests) ! served,
            {setelement(Seat + 1, setelement(Other + 1, Forks, taken), taken), setelement(Seat + 1, Hungry, calm)};
        _ ->
            {Forks, Hungry}
    end.

numbers(To, K, N) when K =< N -> To ! K, numbers(To, K + 1, N);
numbers(_, _, _) -> ok.
filter(Prime, Next, Main) ->
    receive
        {stop, Count, Sum} when Next =:= none -> Main ! {found, Count + 1, Sum + Prime};
        {stop, Count, Sum} -> Next ! {stop, Count + 1, Sum + Prime};
        K when K rem Prime =:= 0 -> filter(Prime, Next, Main);
        K when Next =:= none -> filter(Prime, spawn(fun() -> filter(K, none, Main) end), Main);
        K -> Next ! K, filter(Prime, Next, Main)
    end.
is_prime(P, D) when D * D > P -> true;
is_prime(P, D) when P rem D =:= 0 -> false;
is_prime(P, D) -> is_prime(P, D + 1).
