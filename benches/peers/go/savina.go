package main

import "time"

// The random numbers of the Savina suite.
type random int

func (r *random) below(bound int) int {
	*r = (*r*3877 + 29573) % 139968
	return int(*r) % bound
}

// n messages are dealt out to 60 goroutines.
func forkJoin(n int) string {
	const workers = 60
	sums, inboxes := make(chan int), [workers]chan int{}
	for k := range inboxes {
		inboxes[k] = make(chan int, 1024)
		go func(numbers chan int, count int) {
			sum := 0
			for i := 0; i < count; i++ {
				sum += <-numbers
			}
			sums <- sum
		}(inboxes[k], share(n, k, workers))
	}
	start, sum := time.Now(), 0
	for i := 0; i < n; i++ {
		inboxes[i%workers] <- i
	}
	for range inboxes {
		sum += <-sums
	}
	took := perOp(start, n)
	check("sum", sum, n*(n-1)/2)
	return took
}

type note struct {
	kind int
	from chan note
}

const (
	ping = iota
	pong
	stop
)

// 120 goroutines ping each other at random, n times in all; each has one ping at a time on its way.
func big(n int) string {
	const workers = 120
	done, answered, all := make(chan bool), make(chan int), [workers]chan note{}
	for k := range all {
		// There is room for a ping of each other one, an answer and the end, so that no circle of senders can wait.
		all[k] = make(chan note, workers+1)
	}
	start := time.Now()
	for k := range all {
		go func(place, left int) {
			source, count := random(place), 0
			next := func() {
				if left == 0 {
					done <- true
					return
				}
				left--
				other := (place + 1 + source.below(workers-1)) % workers
				all[other] <- note{ping, all[place]}
			}
			next()
			for got := range all[place] {
				switch got.kind {
				case ping:
					got.from <- note{kind: pong}
					count++
				case pong:
					next()
				case stop:
					answered <- count
					return
				}
			}
		}(k, share(n, k, workers))
	}
	for range all {
		<-done
	}
	sum := 0
	for k := range all {
		all[k] <- note{kind: stop}
	}
	for range all {
		sum += <-answered
	}
	took := perOp(start, n)
	check("pings", sum, n)
	return took
}

type order struct {
	amount int
	// The account that is to get the amount; nil for a deposit.
	to chan order
	// Where a deposit is confirmed.
	from chan bool
}

// n amounts are transferred between 1,000 accounts, which receive nothing else until the other has confirmed.
func bank(n int) string {
	const accounts = 1000
	transferred, balances, all := make(chan bool, n), make(chan int), [accounts]chan order{}
	for k := range all {
		all[k] = make(chan order, 64)
		go func(orders chan order) {
			balance, confirmed := 1000, make(chan bool)
			for got := range orders {
				if got.to != nil {
					balance -= got.amount
					got.to <- order{amount: got.amount, from: confirmed}
					<-confirmed
					transferred <- true
				} else {
					balance += got.amount
					got.from <- true
				}
			}
			balances <- balance
		}(all[k])
	}
	start, source := time.Now(), random(123)
	for i := 0; i < n; i++ {
		// Money goes to a later account only, so that accounts never wait for each other in a circle.
		from := source.below(800)
		to := from + 1 + source.below(accounts-from-1)
		all[from] <- order{amount: 1 + source.below(100), to: all[to]}
	}
	for i := 0; i < n; i++ {
		<-transferred
	}
	sum := 0
	for k := range all {
		close(all[k])
	}
	for range all {
		sum += <-balances
	}
	took := perOp(start, n)
	check("balances", sum, accounts*1000)
	return took
}

type wish struct {
	leave bool
	seat  int
}

const seats = 20

type table struct {
	guests          [seats]chan bool
	isTaken, hungry [seats]bool
}

// Serves a hungry philosopher if both forks are free.
func (t *table) serve(seat int) {
	other := (seat + 1) % seats
	if t.hungry[seat] && !t.isTaken[seat] && !t.isTaken[other] {
		t.hungry[seat], t.isTaken[seat], t.isTaken[other] = false, true, true
		t.guests[seat] <- true
	}
}

// A waiter serves n meals to 20 philosophers.
func philosophers(n int) string {
	start, wishes, t := time.Now(), make(chan wish, seats), table{}
	for k := range t.guests {
		t.guests[k] = make(chan bool, 1)
		go func(seat int, served chan bool, meals int) {
			for i := 0; i < meals; i++ {
				wishes <- wish{seat: seat}
				<-served
				wishes <- wish{leave: true, seat: seat}
			}
		}(k, t.guests[k], share(n, k, seats))
	}
	for eaten := 0; eaten < n; {
		got := <-wishes
		if !got.leave {
			t.hungry[got.seat] = true
			t.serve(got.seat)
			continue
		}
		eaten++
		for _, fork := range []int{got.seat, (got.seat + 1) % seats} {
			if !t.isTaken[fork] {
				panic("a fork was given to two philosophers")
			}
			t.isTaken[fork] = false
		}
		t.serve((got.seat + seats - 1) % seats)
		t.serve((got.seat + 1) % seats)
	}
	took := perOp(start, n)
	if t.isTaken != [seats]bool{} || t.hungry != [seats]bool{} {
		panic("forks or wishes are left")
	}
	return took
}

type item struct {
	// 0 if no more numbers come.
	number     int
	count, sum int
}

func filter(prime int, items chan item, result chan item) {
	var next chan item
	for got := range items {
		switch {
		case got.number == 0:
			got.count, got.sum = got.count+1, got.sum+prime
			if next == nil {
				next = result
			}
			next <- got
			return
		case got.number%prime == 0:
		case next == nil:
			next = make(chan item, 64)
			go filter(got.number, next, result)
		default:
			next <- got
		}
	}
}

// A row of goroutines, one for each prime number, sifts the numbers up to n.
func sieve(n int) string {
	if n < 2 {
		n = 2
	}
	start, first, result := time.Now(), make(chan item, 64), make(chan item)
	go filter(2, first, result)
	for i := 3; i <= n; i++ {
		first <- item{number: i}
	}
	first <- item{}
	found := <-result
	took := perOp(start, n)
	count, sum := 0, 0
	for i := 2; i <= n; i++ {
		isPrime := true
		for of := 2; of*of <= i && isPrime; of++ {
			isPrime = i%of != 0
		}
		if isPrime {
			count, sum = count+1, sum+i
		}
	}
	check("primes", found.count, count)
	check("sum of primes", found.sum, sum)
	return took
}
