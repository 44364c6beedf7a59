// Hello spawns a worker for each number, which uses goroutines, and monitors a child that crashes.
//
//	GOOS=wasip1 GOARCH=wasm go build -o hello.wasm ./hello
//	lunatic hello.wasm
package main

import (
	"encoding/binary"
	"fmt"
	"sync"

	"lunatic.example/lunatic"
)

const (
	squareTag = 16
	crashTag  = 17
)

var square = lunatic.NewEntry("square", func(captured []byte) {
	parent, number := lunatic.HandleOf(captured), binary.LittleEndian.Uint64(captured[lunatic.HandleSize:])
	// Goroutines of this process: the square of a number is the sum of that many copies of it.
	var group sync.WaitGroup
	parts := make(chan uint64, number)
	for range number {
		group.Go(func() { parts <- number })
	}
	group.Wait()
	close(parts)
	var answer uint64
	for part := range parts {
		answer += part
	}
	lunatic.Send(parent, squareTag, binary.LittleEndian.AppendUint64(nil, answer))
})

var crash = lunatic.NewEntry("crash", func([]byte) { panic("this is not the end of the program") })

func main() {
	lunatic.Main(func() {
		for number := range uint64(3) {
			captured := binary.LittleEndian.AppendUint64(lunatic.This().Bytes(), number+1)
			if _, err := lunatic.Spawn(square, captured); err != nil {
				panic(err)
			}
		}
		var sum uint64
		for range 3 {
			mail, _ := lunatic.Receive(lunatic.Forever, squareTag)
			sum += binary.LittleEndian.Uint64(mail.Body)
		}
		fmt.Println("the sum of squares is", sum)

		lunatic.SpawnWith(crash, nil, lunatic.Options{Monitor: true, MonitorTag: crashTag})
		mail, _ := lunatic.Receive(lunatic.Forever, crashTag)
		reason := lunatic.ReasonOf(mail.Body)
		fmt.Printf("the child crashed: kind %d, detail %d\n", reason.Kind, reason.Detail)
	})
}
