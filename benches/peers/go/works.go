package main

import (
	"fmt"
	"time"
)

// A wrong result ends the program with a status that says so.
func check(name string, is, expected int) {
	if is != expected {
		panic(fmt.Sprintf("%s: %d in place of %d", name, is, expected))
	}
}

// The part of n for one of processes that divide it among themselves.
func share(n, place, processes int) int {
	if place < n%processes {
		return n/processes + 1
	}
	return n / processes
}

// A goroutine sends n messages to main, which receives them meanwhile.
func send(n int) string {
	start, numbers, sum := time.Now(), make(chan int, 1024), 0
	go func() {
		for i := 0; i < n; i++ {
			numbers <- i
		}
	}()
	for i := 0; i < n; i++ {
		sum += <-numbers
	}
	took := perOp(start, n)
	check("sum", sum, n*(n-1)/2)
	return took
}

// A tree of goroutines with ten children each, of n leaves, whose numbers are added up.
func skynet(n int) string {
	start, result := time.Now(), make(chan int)
	go node(result, 0, n)
	sum := <-result
	took := perOp(start, n)
	check("sum", sum, n*(n-1)/2)
	return took
}

func node(parent chan int, first, leaves int) {
	if leaves == 1 {
		parent <- first
		return
	}
	children := leaves
	if children > 10 {
		children = 10
	}
	sums, sum := make(chan int, children), 0
	for k := 0; k < children; k++ {
		part := share(leaves, k, children)
		go node(sums, first, part)
		first += part
	}
	for k := 0; k < children; k++ {
		sum += <-sums
	}
	parent <- sum
}

// 1,000 round trips while n other messages wait. A goroutine has no mailbox: each kind of message has a channel of its own.
func selective(n int) string {
	type question struct {
		number int
		from   chan int
	}
	backlog, filled, answers, questions := make(chan int, n), make(chan bool), make(chan int), make(chan question)
	go func() {
		for i := 0; i < n; i++ {
			backlog <- i
		}
		filled <- true
	}()
	go func() {
		for asked := range questions {
			asked.from <- asked.number + 1
		}
	}()
	<-filled
	start, number := time.Now(), 0
	for i := 0; i < 1000; i++ {
		questions <- question{number, answers}
		number = <-answers
	}
	took := perOp(start, 1000)
	check("answer", number, 1000)
	for i := 0; i < n; i++ {
		check("message", <-backlog, i)
	}
	return took
}

type toClient struct {
	// The client is to say the line, which has no text yet.
	speak  bool
	number int
	text   string
}

type toRoom struct {
	// A client that joins, or nil if a line is said.
	member chan toClient
	number int
	text   string
}

// 20 of n clients of a chat room say a line of 64 bytes each, which the room sends to all.
func broadcast(n int) string {
	inbox, full, sums := make(chan toRoom, 1024), make(chan bool), make(chan int, 1024)
	go func() {
		members := []chan toClient{}
		for mail := range inbox {
			if mail.member == nil {
				for _, member := range members {
					member <- toClient{number: mail.number, text: mail.text}
				}
				continue
			}
			members = append(members, mail.member)
			if len(members) == n {
				full <- true
			}
		}
	}()
	clients := make([]chan toClient, n)
	for i := range clients {
		clients[i] = make(chan toClient, 32)
		go client(inbox, clients[i], sums)
	}
	<-full
	start := time.Now()
	for line := 0; line < 20; line++ {
		clients[line*n/20] <- toClient{speak: true, number: line}
	}
	for i := 0; i < n; i++ {
		check("sum", <-sums, 190)
	}
	return perOp(start, n*20)
}

func client(room chan toRoom, mail chan toClient, sums chan int) {
	room <- toRoom{member: mail}
	sum := 0
	for lines := 0; lines < 20; {
		got := <-mail
		if got.speak {
			room <- toRoom{number: got.number, text: fmt.Sprintf("%064d", got.number)}
			continue
		}
		check("length", len(got.text), 64)
		lines++
		sum += got.number
	}
	sums <- sum
}
