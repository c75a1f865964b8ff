package registrar_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"time"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"

	"reveille/purr"
	"reveille/push"
	"reveille/registrar"
	"reveille/usrloc"
)

// A registrar on a plain sipgo server: it stores bindings in memory, tells
// phones which push services it can use, and wakes them before they expire.
func Example() {
	store := usrloc.NewMemory(usrloc.MemoryOptions{})
	defer store.Close()
	dispatcher, err := push.NewDispatcher(push.Options{Apps: []push.App{
		{Name: "app", Provider: "fcm", Sender: pretend{}},
	}})
	if err != nil {
		log.Fatal(err)
	}

	policy := registrar.DefaultPolicy("example.com")
	policy.Push.Waking = dispatcher
	policy.Push.PURR = purr.Generate(time.Now())
	reg, err := registrar.New(registrar.Options{Store: store, Policy: policy})
	if err != nil {
		log.Fatal(err)
	}
	refresher, err := registrar.NewRefresher(registrar.RefresherOptions{Store: store, Push: dispatcher})
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { refresher.Run(ctx); close(done) }()
	defer func() { stop(); <-done; dispatcher.Close(context.Background()) }()

	ua, err := sipgo.NewUA()
	if err != nil {
		log.Fatal(err)
	}
	defer ua.Close()
	server, err := sipgo.NewServer(ua)
	if err != nil {
		log.Fatal(err)
	}
	server.OnRegister(reg.OnRegister)
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go server.ServeUDP(socket) // ua.Close ends it.

	fmt.Println(registerAt(socket.LocalAddr().String()))
	// Output:
	// 200 OK
	// <sip:alice@192.0.2.1;pn-provider=fcm;pn-param=proj;pn-prid=token>;expires=3600
}

// registerAt is the phone.
func registerAt(address string) string {
	ua, err := sipgo.NewUA()
	if err != nil {
		log.Fatal(err)
	}
	defer ua.Close()
	client, err := sipgo.NewClient(ua, sipgo.WithClientHostname("127.0.0.1"))
	if err != nil {
		log.Fatal(err)
	}
	req := sip.NewRequest(sip.REGISTER, sip.Uri{Scheme: "sip", Host: "example.com"})
	req.SetDestination(address)
	req.AppendHeader(sip.NewHeader("From", "<sip:alice@example.com>;tag=1"))
	req.AppendHeader(sip.NewHeader("To", "<sip:alice@example.com>"))
	req.AppendHeader(sip.NewHeader("Contact", "<sip:alice@192.0.2.1;pn-provider=fcm;pn-param=proj;pn-prid=token>"))
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	res, err := client.Do(ctx, req)
	if err != nil {
		log.Fatal(err)
	}
	return fmt.Sprintf("%d %s\n%s", res.StatusCode, res.Reason, res.GetHeader("Contact").Value())
}

// pretend is a push service that takes everything.
type pretend struct{}

func (pretend) Send(context.Context, *push.Request) push.Outcome {
	return push.Outcome{Class: push.OK}
}

func (pretend) Close() error { return nil }
