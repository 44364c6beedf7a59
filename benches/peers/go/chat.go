package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"sync"
)

// A chat server with two goroutines for each connection, one that reads and one that writes. The first 64 bytes of a client
// come back to it alone, when the client is in the room; each later 64 bytes go to all clients.
func chat(address string) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("listening at", listener.Addr())
	var room room
	for {
		connection, err := listener.Accept()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		go room.talk(connection)
	}
}

type room struct {
	lock    sync.RWMutex
	members []chan []byte
}

func (r *room) talk(connection net.Conn) {
	defer connection.Close()
	line := make([]byte, 64)
	if _, err := io.ReadFull(connection, line); err != nil {
		return
	}
	lines := make(chan []byte, 32)
	go func() {
		for line := range lines {
			if _, err := connection.Write(line); err != nil {
				return
			}
		}
	}()
	r.lock.Lock()
	r.members = append(r.members, lines)
	r.lock.Unlock()
	for first := true; ; first = false {
		if first {
			lines <- line
		} else {
			r.lock.RLock()
			for _, member := range r.members {
				member <- line
			}
			r.lock.RUnlock()
		}
		line = make([]byte, 64)
		if _, err := io.ReadFull(connection, line); err != nil {
			return
		}
	}
}
