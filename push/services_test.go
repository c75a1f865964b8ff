package push_test

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"reveille/push"
	"reveille/push/apns"
	"reveille/push/fcm"
	"reveille/push/pushsim"
	"reveille/push/webhook"
	"reveille/push/webpush"
)

// world is a Dispatcher with a Sender for each service, all pretended by one
// server.
type world struct {
	sim        *pushsim.Server
	dispatcher *push.Dispatcher
}

func newWorld(t *testing.T) world {
	t.Helper()
	sim, err := pushsim.Start(pushsim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sim.Close() })
	c := sim.Credentials()
	apple, err := apns.New(apns.Options{
		KeyP8: c.KeyP8(), KeyID: pushsim.KeyID, TeamID: pushsim.TeamID, Host: sim.URL(), RootCAs: sim.RootCAs(),
	})
	if err != nil {
		t.Fatal(err)
	}
	google, err := fcm.New(t.Context(), fcm.Options{
		ServiceAccountJSON: sim.ServiceAccountJSON(), Endpoint: sim.FCMEndpoint(), RootCAs: sim.RootCAs(),
	})
	if err != nil {
		t.Fatal(err)
	}
	web, err := webpush.New(webpush.Options{
		VAPIDPublic: c.VAPIDPublic(), VAPIDPrivate: c.VAPIDPrivate(), Subscriber: pushsim.Subscriber,
		AllowedHosts: []string{"127.0.0.1"}, AllowPrivate: true, RootCAs: sim.RootCAs(),
	})
	if err != nil {
		t.Fatal(err)
	}
	hook, err := webhook.New(webhook.Options{URL: sim.HookURL("acme"), Secret: c.Secret, RootCAs: sim.RootCAs()})
	if err != nil {
		t.Fatal(err)
	}
	d, err := push.NewDispatcher(push.Options{Apps: []push.App{
		{Name: "apple", Provider: "apns", ParamPattern: pushsim.TeamID + ".*", Sender: apple},
		{Name: "google", Provider: "fcm", ParamPattern: pushsim.ProjectID, Sender: google},
		{Name: "web", Provider: "webpush", Sender: web},
		{Name: "hook", Provider: "acme", Sender: hook},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := d.Close(ctx); err != nil {
			t.Errorf("Close = %v", err)
		}
	})
	return world{sim, d}
}

// phone returns the push parameters of a phone, as it would send them, by
// provider; n makes the token unlike others.
func (w world) phone(provider string, n int) (param, prid string) {
	switch provider {
	case "apns":
		prid = strings.Repeat("ab", 30) + strconv.FormatInt(int64(0x1000+n), 16)
		return pushsim.TeamID + "." + pushsim.BundleID + ".voip", prid
	case "fcm":
		return pushsim.ProjectID, "token:" + strconv.Itoa(n)
	case "webpush":
		return "", w.sim.SubscriptionURL(strconv.Itoa(n))
	default:
		return "", "device-" + strconv.Itoa(n)
	}
}

func providers() []string { return []string{"apns", "fcm", "webpush", "acme"} }

// call submits a push for a call and returns where its outcome comes.
func (w world) call(t *testing.T, provider string, n int, patience time.Duration) <-chan push.Outcome {
	t.Helper()
	param, prid := w.phone(provider, n)
	params, tokens, err := push.Parse(provider, param, prid)
	if err != nil {
		t.Fatal(err)
	}
	ch := make(chan push.Outcome, 1)
	_, err = w.dispatcher.Submit(&push.Request{
		AOR: "sip:alice@example.com", Params: params, Tokens: tokens, Kind: push.Call, Method: "INVITE",
		CallID: "call-" + strconv.Itoa(n), PushID: strconv.Itoa(n), Deadline: time.Now().Add(patience),
	}, func(o push.Outcome) { ch <- o })
	if err != nil {
		t.Fatalf("Submit(%s) = %v", provider, err)
	}
	return ch
}

func TestServices_FaultsAndWhatBecomesOfThem(t *testing.T) {
	w := newWorld(t)
	for i, c := range []struct {
		name     string
		fault    pushsim.Fault
		want     push.Class
		attempts int
	}{
		{"none", pushsim.Fault{}, push.OK, 1},
		{"trouble once", pushsim.Fault{Kind: pushsim.Unavailable, Times: 1}, push.OK, 2},
		{"trouble twice", pushsim.Fault{Kind: pushsim.Unavailable, Times: 2}, push.OK, 3},
		{"a second, it says", pushsim.Fault{Kind: pushsim.Unavailable, Times: 1, RetryAfter: time.Second}, push.OK, 2},
		{"connection breaks once", pushsim.Fault{Kind: pushsim.Reset, Times: 1}, push.OK, 2},
		{"goes away", pushsim.Fault{Kind: pushsim.GoAway}, push.OK, 1},
		{"gone", pushsim.Fault{Kind: pushsim.Gone}, push.Gone, 1},
		{"another app's token", pushsim.Fault{Kind: pushsim.BadToken}, push.Suspect, 1},
	} {
		for _, provider := range providers() {
			t.Run(c.name+"/"+provider, func(t *testing.T) {
				_, prid := w.phone(provider, i)
				w.sim.SetFault(prid, c.fault)
				began := time.Now()
				o := <-w.call(t, provider, i, 20*time.Second)
				if o.Class != c.want || o.Attempts != c.attempts {
					t.Errorf("outcome = %v (%s, err %v) after %d attempts, want %v after %d",
						o.Class, o.Reason, o.Err, o.Attempts, c.want, c.attempts)
				}
				if took := time.Since(began); took < c.fault.RetryAfter {
					t.Errorf("took %v, want at least the %v that it was told", took, c.fault.RetryAfter)
				}
			})
		}
	}
}

func TestServices_OneInABlackHoleDelaysNoOther(t *testing.T) {
	w := newWorld(t)
	for i, stuck := range providers() {
		n := 100 * (i + 1)
		w.sim.ClearFaults()
		_, prid := w.phone(stuck, n)
		w.sim.SetFault(prid, pushsim.Fault{Kind: pushsim.BlackHole})
		waits := w.call(t, stuck, n, 700*time.Millisecond)
		for _, provider := range providers() {
			if provider == stuck {
				continue
			}
			if o := <-w.call(t, provider, n, 20*time.Second); o.Class != push.OK {
				t.Errorf("%s while %s is stuck: %v (%s, err %v), want ok", provider, stuck, o.Class, o.Reason, o.Err)
			}
		}
		if o := <-waits; o.Class != push.Network || o.Reason != "Timeout" {
			t.Errorf("%s: %v (%s), want network, Timeout", stuck, o.Class, o.Reason)
		}
	}
}
