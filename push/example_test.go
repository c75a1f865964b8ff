package push_test

import (
	"context"
	"fmt"
	"time"

	"reveille/push"
	"reveille/push/pushsim"
	"reveille/push/webpush"
)

// A browser is woken through a pretend push service.
func Example() {
	sim, err := pushsim.Start(pushsim.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer sim.Close()
	sender, err := webpush.New(webpush.Options{
		VAPIDPrivate: sim.Credentials().VAPIDPrivate(), Subscriber: "push@example.com",
		AllowedHosts: []string{"127.0.0.1"}, AllowPrivate: true, RootCAs: sim.RootCAs(),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	dispatcher, err := push.NewDispatcher(push.Options{Apps: []push.App{
		{Name: "browsers", Provider: "webpush", Sender: sender},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer dispatcher.Close(context.Background())

	// What the phone said in its Contact, percent-decoded.
	params, tokens, err := push.Parse("webpush", "", sim.SubscriptionURL("alice"))
	if err != nil {
		fmt.Println(err)
		return
	}
	outcome := make(chan push.Outcome)
	_, err = dispatcher.Submit(&push.Request{
		AOR: "sip:alice@example.com", Params: params, Tokens: tokens,
		Kind: push.Call, CallID: "a84b4c76e66710", PushID: "1", Deadline: time.Now().Add(45 * time.Second),
	}, func(o push.Outcome) { outcome <- o })
	if err != nil {
		fmt.Println(err)
		return
	}
	o := <-outcome
	fmt.Println(o.Class, o.Status, len(sim.Pushes()))
	// Output: ok 201 1
}
