// The conformance kit in Go: `lunatic conformance` runs this program with the name of a case, and checks what it does.
//
//	GOOS=wasip1 GOARCH=wasm go build -o conformance.wasm ./conformance
//	lunatic conformance conformance.wasm
package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"lunatic.example/lunatic"
)

const forever = lunatic.Forever

// must is for operations that cannot fail here: a panic fails the case.
func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func printReason(reason lunatic.Reason) {
	switch {
	case reason.Kind == lunatic.Normal:
		fmt.Println("normal")
	case reason.Kind == lunatic.Exited && reason.Detail != 2:
		fmt.Println("exit", reason.Detail)
	case reason.Kind == lunatic.Killed:
		fmt.Println("killed")
	case reason.Kind == lunatic.Failed:
		fmt.Println("error:", reason.Text)
	default:
		// A Go panic is an exit with code 2.
		fmt.Println("crashed")
	}
}

func printEnd(process lunatic.Handle) { printReason(must(lunatic.Join(process, forever))) }

func wait(process lunatic.Handle) { must(lunatic.Join(process, forever)) }

func printMessage(tags ...uint64) { fmt.Println(string(must(lunatic.Receive(forever, tags...)).Body)) }

var variable = 1

var (
	printCaptured = lunatic.NewEntry("print captured", func(captured []byte) { fmt.Printf("child: %s\n", captured) })
	printVariable = lunatic.NewEntry("print variable", func([]byte) { fmt.Println("child:", variable) })
	printPart     = lunatic.NewEntry("print part", func([]byte) { fmt.Print("kept") })
	printThree    = lunatic.NewEntry("print three", func([]byte) {
		for range 3 {
			mail := must(lunatic.Receive(forever))
			fmt.Printf("%d (%s)\n", mail.Tag, mail.Body)
		}
	})
	sendLong = lunatic.NewEntry("send long", func(captured []byte) {
		message := make([]byte, 3<<20)
		for at := range message {
			message[at] = byte(at % 251)
		}
		check(lunatic.Send(lunatic.HandleOf(captured), 16, message))
	})
	sendNumbers = lunatic.NewEntry("send numbers", func(captured []byte) {
		numbers := lunatic.Channel{Handle: lunatic.HandleOf(captured)}
		for number := range uint32(5) {
			check(numbers.Push(binary.LittleEndian.AppendUint32(nil, number+1), forever))
		}
	})
	sendChannel = lunatic.NewEntry("send channel", func(captured []byte) {
		mine := must(lunatic.NewChannel(0))
		check(lunatic.Send(lunatic.HandleOf(captured), 16, mine.Bytes()))
	})
	exitWith7   = lunatic.NewEntry("exit with 7", func([]byte) { os.Exit(7) })
	crash       = lunatic.NewEntry("crash", func([]byte) { panic("crashed") })
	fail        = lunatic.NewEntry("fail", func([]byte) { lunatic.Fail("out of stock") })
	waitForMail = lunatic.NewEntry("wait", func([]byte) { must(lunatic.Receive(forever)) })
	compute     = lunatic.NewEntry("compute", func([]byte) {
		for {
			variable++
		}
	})
	findClerk = lunatic.NewEntry("find clerk", func([]byte) {
		check(lunatic.Send(must(lunatic.Lookup("clerk")), 16, []byte("found")))
	})
	answer = lunatic.NewEntry("answer", func([]byte) {
		request, message := lunatic.RequestOf(must(lunatic.Receive(forever, 16)).Body)
		check(request.Reply(append(message, '!')))
	})
	tryToSpawn = lunatic.NewEntry("try to spawn", func([]byte) {
		if _, err := lunatic.Spawn(waitForMail, nil); errors.Is(err, lunatic.Denied) {
			fmt.Println("denied")
		}
	})
)

// The cases that take more than a few lines.

func messages() {
	child := must(lunatic.Spawn(printThree, nil))
	check(lunatic.Send(child, 16, []byte("a")))
	check(lunatic.Send(child, 17, []byte("b")))
	check(lunatic.Send(child, 18, nil))
	wait(child)
}

func selective() {
	for at, text := range []string{"one", "two", "three"} {
		check(lunatic.Send(lunatic.This(), 16+uint64(at), []byte(text)))
	}
	printMessage(18)
	printMessage(17, 16)
	printMessage()
}

func long() {
	must(lunatic.Spawn(sendLong, lunatic.This().Bytes()))
	message := must(lunatic.Receive(forever, 16)).Body
	sum := 0
	for _, part := range message {
		sum += int(part)
	}
	fmt.Println(len(message), sum)
}

func channel() {
	numbers := must(lunatic.NewChannel(1))
	must(lunatic.Spawn(sendNumbers, numbers.Bytes()))
	var sum uint32
	for range 5 {
		sum += binary.LittleEndian.Uint32(must(numbers.Pull(forever)))
	}
	fmt.Println(sum)
}

func closed() {
	wait(must(lunatic.Spawn(sendChannel, lunatic.This().Bytes())))
	theirs := lunatic.Channel{Handle: lunatic.HandleOf(must(lunatic.Receive(forever, 16)).Body)}
	if _, err := theirs.Pull(forever); errors.Is(err, lunatic.Closed) {
		fmt.Println("closed")
	}
}

// news spawns a child with options, and prints the reason in the notification of this kind about its exit.
func news(entry *lunatic.Entry, options lunatic.Options, tag uint64, kind uint32) {
	must(lunatic.SpawnWith(entry, nil, options))
	if mail := must(lunatic.Receive(forever, tag)); mail.Kind == kind {
		printReason(lunatic.ReasonOf(mail.Body))
	}
}

func printIfAlive(process lunatic.Handle, alive bool, text string) {
	if must(lunatic.IsAlive(process)) == alive {
		fmt.Println(text)
	}
}

func kill() {
	child := must(lunatic.Spawn(waitForMail, nil))
	printIfAlive(child, true, "alive")
	check(lunatic.Kill(child))
	printEnd(child)
	printIfAlive(child, false, "gone")
}

func busy() {
	child := must(lunatic.Spawn(compute, nil))
	lunatic.Sleep(time.Millisecond)
	check(lunatic.Kill(child))
	printEnd(child)
}

func names() {
	check(lunatic.Register("clerk", lunatic.This()))
	must(lunatic.Spawn(findClerk, nil))
	printMessage(16)
	if err := lunatic.Register("clerk", must(lunatic.Spawn(waitForMail, nil))); errors.Is(err, lunatic.NameTaken) {
		fmt.Println("taken")
	}
	check(lunatic.Unregister("clerk"))
	if _, err := lunatic.Lookup("clerk"); errors.Is(err, lunatic.Closed) {
		fmt.Println("free")
	}
}

func timer() {
	must(lunatic.SendAfter(lunatic.This(), 16, []byte("tick"), time.Millisecond))
	printMessage(16)
	if lunatic.Cancel(must(lunatic.SendAfter(lunatic.This(), 16, []byte("late"), time.Hour))) {
		fmt.Println("cancelled")
	}
}

func timeout() {
	if _, err := lunatic.Receive(time.Millisecond); errors.Is(err, lunatic.TimedOut) {
		fmt.Println("timed out")
	}
	if _, err := lunatic.Receive(0); errors.Is(err, lunatic.Empty) {
		fmt.Println("empty")
	}
}

func call() {
	fmt.Println(string(must(lunatic.Call(must(lunatic.Spawn(answer, nil)), 16, []byte("ping"), forever))))
	_, err := lunatic.Call(must(lunatic.Spawn(waitForMail, nil)), 16, []byte("ping"), forever)
	if errors.Is(err, lunatic.Gone) {
		fmt.Println("gone")
	}
}

var cases = map[string]func(){
	"captured": func() {
		child := must(lunatic.Spawn(printCaptured, []byte("oak")))
		wait(child)
		fmt.Print("joined: ")
		printEnd(child)
	},
	"memory": func() {
		variable = 2
		wait(must(lunatic.Spawn(printVariable, nil)))
		fmt.Println("parent:", variable)
	},
	"flush":    func() { wait(must(lunatic.Spawn(printPart, nil))) },
	"messages": messages, "selective": selective, "long": long, "channel": channel, "closed": closed,
	"link": func() {
		lunatic.TrapExits()
		news(exitWith7, lunatic.Options{Link: true}, lunatic.ExitTag, lunatic.Exit)
	},
	"monitor": func() { news(crash, lunatic.Options{Monitor: true, MonitorTag: 20}, 20, lunatic.Down) },
	"reason":  func() { printEnd(must(lunatic.Spawn(fail, nil))) },
	"kill":    kill, "busy": busy, "names": names, "timer": timer, "timeout": timeout, "call": call,
	"rights": func() {
		wait(must(lunatic.SpawnWith(tryToSpawn, nil, lunatic.Options{Config: "deny=spawn\x00"})).Process)
	},
	"forged": func() {
		if _, err := lunatic.IsAlive(lunatic.Handle{}); errors.Is(err, lunatic.Invalid) {
			fmt.Println("invalid")
		}
	},
	"code": func() { os.Exit(9) },
}

func main() {
	lunatic.Main(func() { cases[os.Args[1]]() })
}
