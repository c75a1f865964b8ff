package app

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"reveille/configs"
	"reveille/internal/proxy"
	"reveille/internal/wake"
)

// waking translates what is decided about when phones are woken and how long
// requests wait for them.
func waking(o *proxy.Options, c configs.Push) error {
	o.Waits = waits(c)
	o.Wakes, o.WakeEvents = c.Methods, c.Events
	o.Skip, o.Dormant = c.SkipInterval.For, c.Dormant.Enabled
	// configs accepts no other names.
	o.Farewell, _ = proxy.ParseFarewellMode(string(c.Farewell))
	o.CallerData, _ = proxy.ParseCallerData(string(c.Payload.Caller))
	o.PushIDHeader = c.IDHeader
	older, err := mappings(c.Mappings)
	if err != nil {
		return err
	}
	for i := range older {
		o.PushParams = append(o.PushParams, older[i].Secrets()...)
	}
	type agentPolicy struct {
		matches *regexp.Regexp
		mode    proxy.Mode
	}
	var agents []agentPolicy
	for i, u := range c.Policy.UserAgents {
		re, err := regexp.Compile(u.UserAgent)
		if err != nil {
			return fmt.Errorf("push.policy.user_agents[%d].user_agent: %w", i, err)
		}
		agents = append(agents, agentPolicy{re, modeOf(u.Policy)})
	}
	o.Policy = func(provider, agent string) proxy.Mode {
		for i := range agents {
			if agents[i].matches.MatchString(agent) {
				return agents[i].mode
			}
		}
		return modeOf(c.Policy.For(provider))
	}
	return nil
}

// ringback says who hears ringing while a phone is being woken. The scheme of an
// address does not count.
func ringback(c configs.Ringback) proxy.Ringback {
	r := proxy.Ringback{Routes: c.Routes, Networks: c.Networks}
	for _, pattern := range c.Callers {
		pattern = strings.TrimPrefix(strings.TrimPrefix(pattern, "sips:"), "sip:")
		if user, host, ok := strings.Cut(pattern, "@"); ok {
			// RFC 3261 §19.1.4: the case of a host says nothing.
			pattern = user + "@" + strings.ToLower(host)
		}
		r.Callers = append(r.Callers, pattern)
	}
	return r
}

// modeOf translates a policy; configs accepts no other names.
func modeOf(p configs.WakePolicy) proxy.Mode {
	mode, _ := proxy.ParseMode(string(p))
	return mode
}

func waits(c configs.Push) proxy.Waits {
	w := proxy.Waits{Invite: c.Wait.Invite.Default, Message: c.Wait.Message, InDialog: c.Wait.InDialog, Silent: c.SilentWait}
	for _, r := range c.Wait.Rules {
		w.Rules = append(w.Rules, proxy.WaitRule{InDialog: r.InDialog, Method: r.Method, Provider: r.Provider, Wait: r.Wait})
	}
	w.Rules = append(w.Rules, proxy.WaitRule{Method: "INVITE", Provider: "webpush", Wait: c.Wait.Invite.WebPush})
	return w
}

// wakeSettings is what the Waker has to know.
func wakeSettings(c configs.Push) wake.Settings {
	s := wake.Settings{RefreshesPerHour: c.Refresh.PerHour, NoBackground: c.IOS.Background == configs.NeverBackground}
	if c.Learn.Enabled {
		s.Learning = wake.Learning{Failures: c.Learn.Failures, After: c.Learn.After, Least: c.Learn.MinWait}
	}
	return s
}

// wakeDormant is how often dormant phones are woken; 0: not at all.
func wakeDormant(c configs.Push) time.Duration {
	if !c.Dormant.Enabled {
		return 0
	}
	return c.Dormant.WakeEvery
}
