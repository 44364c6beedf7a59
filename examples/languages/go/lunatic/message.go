package lunatic

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"time"
	"unsafe"
)

// Forever is the timeout that never passes.
const Forever time.Duration = -1

// Error is a code of docs/abi.md.
type Error int32

// The codes that are errors in this package.
const (
	Invalid   Error = -1
	Closed    Error = -2
	Full      Error = -3
	Empty     Error = -4
	TimedOut  Error = -5
	Limit     Error = -6
	Gone      Error = -7
	NameTaken Error = -8
	Denied    Error = -9
	BadConfig Error = -10
)

func (e Error) Error() string { return fmt.Sprintf("lunatic: code %d", int32(e)) }

func check(code int32) error {
	if code < 0 {
		return Error(code)
	}
	return nil
}

func nanoseconds(timeout time.Duration) uint64 { return uint64(timeout) }

// The address of bytes. An empty slice needs an address inside the memory, too.
func at(bytes []byte) unsafe.Pointer {
	if len(bytes) == 0 {
		return unsafe.Pointer(&nothing)
	}
	return unsafe.Pointer(&bytes[0])
}

var nothing byte

func keep(bytes []byte) { runtime.KeepAlive(bytes) }

// Takes the contents of the buffer that the last call has filled.
func take() []byte {
	bytes := make([]byte, bufferLen())
	bufferTake(at(bytes), uint32(len(bytes)))
	return bytes
}

// Messages of more than 1 MiB are sent through the buffer.
func putLong(message []byte) error {
	if len(message) <= 1<<20 {
		return nil
	}
	return check(bufferPut(at(message), uint32(len(message))))
}

// Send sends a message to the mailbox of a process. Tags must be 16 or more.
func Send(to Handle, tag uint64, message []byte) error {
	if err := putLong(message); err != nil {
		return err
	}
	return check(mailboxSend(to.ID, to.Key, tag, at(message), uint32(len(message))))
}

// Kinds of mail.
const (
	Message = 0
	Exit    = 1
	Down    = 2
)

// ExitTag is the tag of mail about exits.
const ExitTag = 1

// Mail is a message, or a notification from a link or a monitor, whose body ReasonOf decodes.
type Mail struct {
	Kind uint32
	Tag  uint64
	From Handle
	Body []byte
}

// Receive receives the oldest mail with one of the tags, or with any tag if there are none.
func Receive(timeout time.Duration, tags ...uint64) (Mail, error) {
	bytes := make([]byte, 0, 8*len(tags))
	for _, tag := range tags {
		bytes = binary.LittleEndian.AppendUint64(bytes, tag)
	}
	var header [40]byte
	// If it does not fit, the body is in the buffer.
	length := mailboxReceive(at(bytes), uint32(len(tags)), unsafe.Pointer(&header), at(nil), 0, nanoseconds(timeout))
	if err := check(length); err != nil {
		return Mail{}, err
	}
	mail := Mail{
		Kind: binary.LittleEndian.Uint32(header[:]),
		Tag:  binary.LittleEndian.Uint64(header[8:]),
		From: HandleOf(header[24:]),
	}
	if length > 0 {
		mail.Body = take()
	}
	return mail, nil
}

// Request is the beginning of the message of a call.
type Request struct {
	From      Handle
	Reference uint64
}

// RequestOf decodes the body of a call: the caller, and the message.
func RequestOf(body []byte) (Request, []byte) {
	return Request{HandleOf(body), binary.LittleEndian.Uint64(body[16:])}, body[24:]
}

// Reply answers a call.
func (r Request) Reply(message []byte) error { return Send(r.From, r.Reference, message) }

// Call sends a message, preceded by a Request, and waits for the reply.
func Call(to Handle, tag uint64, message []byte, timeout time.Duration) ([]byte, error) {
	var reference uint64
	if err := check(mailboxReference(unsafe.Pointer(&reference))); err != nil {
		return nil, err
	}
	bytes := append(binary.LittleEndian.AppendUint64(This().Bytes(), reference), message...)
	if err := putLong(bytes); err != nil {
		return nil, err
	}
	length := mailboxCall(to.ID, to.Key, tag, at(bytes), uint32(len(bytes)), unsafe.Pointer(&reference), at(nil), 0, nanoseconds(timeout))
	mailboxClose(reference)
	if length <= 0 {
		return nil, check(length)
	}
	return take(), nil
}

// Channel is a queue of messages, which closes when the process that made it exits.
type Channel struct{ Handle }

// NewChannel makes a channel that holds at most bound messages; 0 means no bound.
func NewChannel(bound uint64) (Channel, error) {
	var made Channel
	code := channelNew(bound, unsafe.Pointer(&made))
	return made, check(code)
}

// Push sends a message, and waits while the channel is full.
func (c Channel) Push(message []byte, timeout time.Duration) error {
	if err := putLong(message); err != nil {
		return err
	}
	return check(channelSend(c.ID, c.Key, at(message), uint32(len(message)), nanoseconds(timeout)))
}

// Pull receives the oldest message, and waits while there is none.
func (c Channel) Pull(timeout time.Duration) ([]byte, error) {
	length := channelReceive(c.ID, c.Key, at(nil), 0, nanoseconds(timeout))
	if length <= 0 {
		return nil, check(length)
	}
	return take(), nil
}

// Register registers a process under a name until it exits.
func Register(name string, process Handle) error {
	bytes := []byte(name)
	return check(registryRegister(at(bytes), uint32(len(bytes)), process.ID, process.Key))
}

// Unregister frees a name.
func Unregister(name string) error {
	bytes := []byte(name)
	return check(registryUnregister(at(bytes), uint32(len(bytes))))
}

// Lookup returns the process with a name.
func Lookup(name string) (Handle, error) {
	var found Handle
	bytes := []byte(name)
	code := registryLookup(at(bytes), uint32(len(bytes)), unsafe.Pointer(&found))
	return found, check(code)
}

// SendAfter sends a message after a delay; the timer can be passed to Cancel.
func SendAfter(to Handle, tag uint64, message []byte, delay time.Duration) (timer uint64, err error) {
	if err := putLong(message); err != nil {
		return 0, err
	}
	code := timerSendAfter(to.ID, to.Key, tag, at(message), uint32(len(message)), nanoseconds(delay), 0, unsafe.Pointer(&timer))
	return timer, check(code)
}

// Cancel cancels a timer, and returns whether it had not sent yet.
func Cancel(timer uint64) bool { return timerCancel(timer) == 1 }
