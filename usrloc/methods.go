package usrloc

import "strings"

// Methods is a set of request methods: what a phone listed in Allow when it
// registered (RFC 3261 §20.5). The zero value means that it did not say, or
// listed nothing.
type Methods uint16

// The methods that have a name of their own in a set. The numbers are stored:
// append only, and keep MethodOther.
const (
	MethodInvite Methods = 1 << iota
	MethodAck
	MethodBye
	MethodCancel
	MethodOptions
	MethodRegister
	MethodPrack
	MethodSubscribe
	MethodNotify
	MethodPublish
	MethodInfo
	MethodRefer
	MethodMessage
	MethodUpdate
	// MethodOther stands for every other method: a set that has it was made from
	// a list with at least one of them, and which ones is not kept.
	MethodOther Methods = 1 << 15
)

// methodNames are the names, by bit.
var methodNames = [...]string{
	"INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "REGISTER", "PRACK", "SUBSCRIBE", "NOTIFY", "PUBLISH", "INFO", "REFER",
	"MESSAGE", "UPDATE",
}

// otherMethod is the name of MethodOther in lists; "*" is a token, but no method.
const otherMethod = "*"

// MethodOf returns the set of one method. RFC 3261 §7.1: case counts.
func MethodOf(name string) Methods {
	switch name {
	case "INVITE":
		return MethodInvite
	case "ACK":
		return MethodAck
	case "BYE":
		return MethodBye
	case "CANCEL":
		return MethodCancel
	case "OPTIONS":
		return MethodOptions
	case "REGISTER":
		return MethodRegister
	case "PRACK":
		return MethodPrack
	case "SUBSCRIBE":
		return MethodSubscribe
	case "NOTIFY":
		return MethodNotify
	case "PUBLISH":
		return MethodPublish
	case "INFO":
		return MethodInfo
	case "REFER":
		return MethodRefer
	case "MESSAGE":
		return MethodMessage
	case "UPDATE":
		return MethodUpdate
	}
	return MethodOther
}

// ParseMethods reads the value of an Allow header field, a list with commas.
func ParseMethods(list string) Methods {
	var m Methods
	for more := true; more; {
		var name string
		name, list, more = strings.Cut(list, ",")
		if name = strings.Trim(name, " \t\r\n"); name != "" {
			m |= MethodOf(name)
		}
	}
	return m
}

// Allow reports whether the phone takes requests of the method, as far as it
// said. One that listed nothing takes all; a method without a name here is taken
// by phones that listed any such.
func (m Methods) Allow(method string) bool { return m == 0 || m&MethodOf(method) != 0 }

// Names lists the methods; MethodOther is "*". MethodsNamed is the inverse.
func (m Methods) Names() []string {
	var names []string
	for i, name := range methodNames {
		if m&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	if m&MethodOther != 0 {
		names = append(names, otherMethod)
	}
	return names
}

// MethodsNamed returns the set of all these methods.
func MethodsNamed(names []string) Methods {
	var m Methods
	for _, name := range names {
		m |= MethodOf(name)
	}
	return m
}
