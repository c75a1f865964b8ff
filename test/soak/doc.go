// Command soak plays hundreds of simulated phones against one server process for
// as long as it is told (`make soak`: half an hour), on real sockets: UDP, TCP, TLS
// and WebSocket. Phones register, sleep, are woken by pushes of a pretend push
// service (push/pushsim, HTTP/2), change addresses and tokens, die in calls, leave;
// they call each other, give up, send MESSAGEs and requests in calls to phones that
// sleep; push services refuse and hang.
//
// Each scene (scenes.go) has its phones to itself and knows what must come of it:
// one final answer to each request, and which; a call that can be delivered is
// delivered, and no phone rings on. Once a second the server's metrics are read
// (samples.go). In the end all phones leave, and when all timers have run out
// (64*T1) every table of the server must be empty, and its memory, goroutines and
// file descriptors flat over the second half.
//
// The seed decides who does what; what happens at once is the machine's choice.
package main
