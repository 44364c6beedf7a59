package main

import (
	"fmt"
	"net"
	"os"
)

// An echo server with a goroutine for each connection. It prints `listening at ADDRESS`; with the mode `once`, a connection
// is closed after its first message.
func serve(address, mode string) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("listening at", listener.Addr())
	for {
		connection, err := listener.Accept()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		go echo(connection, mode == "once")
	}
}

func echo(connection net.Conn, once bool) {
	defer connection.Close()
	bytes := make([]byte, 4096)
	for {
		n, err := connection.Read(bytes)
		if err != nil {
			return
		}
		if _, err := connection.Write(bytes[:n]); err != nil || once {
			return
		}
	}
}
