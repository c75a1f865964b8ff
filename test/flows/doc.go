// Package flows plays the message flows of RFC 3665, RFC 3261 and RFC 8599 against
// the server as a whole: in process, over loopback sockets, before a pretend push
// service. A flow is a file in testdata that says what each phone sends and what
// it must receive, and every message is compared whole: the start line, each
// header field, their order, the body. What is generated (branches, tags, nonces,
// sealed tokens) gets a name where it is first seen, and must be the same wherever
// that name stands again and another wherever another name stands.
//
// A step starts at the left margin; what it needs is indented below it.
//
//	# Text after this sign is for the reader.
//	server                     lines of the configuration, before all else
//	  proxy: {fork: sequential}
//	phone alice udp            a phone and its transport; {alice} is its address
//	alice sends                a message; {length}, {digest} are worked out
//	  REGISTER sip:example.com SIP/2.0
//	  ...
//	alice receives             the next message there, whole
//	  SIP/2.0 200 OK
//	  ...
//	bob sleeps                 its connection ends, and the server knows
//	bob wakes                  it connects from another port
//	push receives              the next push, as the push service sees it
//	push answers TOKEN gone    what further pushes to a token get
//
// {name} stands for a value, {bob.1} for the first address of bob's phone, {udp}
// and {tcp} for those of the server, {3590-3600} for a number in this range, and
// {date} and {seconds} for a time not much more than an hour from now.
// When the flow has ended no phone and no push service may have received more.
// `go test ./test/flows -update` writes what was received into the files; read
// the difference as a reviewer of the server would.
package flows
