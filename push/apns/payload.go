package apns

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/sideshow/apns2"

	"reveille/push"
	"reveille/push/internal/payload"
)

// Bounds of a payload in bytes.
const (
	maxPayload     = 4096
	maxVoIPPayload = 5120
)

// DefaultAlerts are for calls to apps without PushKit. All else goes in the
// background: what a message says, and whether it is shown, is the app's business.
func DefaultAlerts() map[push.Kind]string {
	return map[push.Kind]string{push.Call: "Incoming call"}
}

// A form is how the app is told: the JSON, and how iOS is to take it.
type form struct {
	body []byte
	kind apns2.EPushType
}

// limit is how many bytes the payload of a push with a token of this use may
// have.
func limit(u push.Use) int {
	if u == push.VoIP {
		return maxVoIPPayload
	}
	return maxPayload
}

// newTemplate reads the template of payloads and tries it with requests of all
// kinds.
func newTemplate(text string, alerts map[push.Kind]string) (*payload.Template, error) {
	if text == "" {
		return nil, nil
	}
	t, err := payload.JSON("template", text)
	if err != nil {
		return nil, fmt.Errorf("apns: %w", err)
	}
	for _, r := range payload.Samples("apns") {
		tok, ok := r.Token()
		if !ok {
			continue // Nothing is sent for these.
		}
		if _, err := templated(t, r, tok, alerts, time.Now()); err != nil {
			return nil, fmt.Errorf("apns: %w", err)
		}
	}
	return t, nil
}

// form makes the payload of r. What a template makes wrong or too long is made
// again without Data, and then without the template: to wake the phone is worth
// more.
func (s *Sender) form(r *push.Request, tok push.Token, now time.Time) form {
	if s.template != nil {
		bare := *r
		bare.Data = nil
		for _, r := range []*push.Request{r, &bare} {
			if f, err := templated(s.template, r, tok, s.alerts, now); err == nil {
				return f
			}
		}
	}
	return plain(r, tok, s.alerts)
}

// templated is the form that a template makes. Its aps says whether iOS shows
// something; a template that makes none gets the usual one.
func templated(t *payload.Template, r *push.Request, tok push.Token, alerts map[push.Kind]string, now time.Time) (form, error) {
	b, err := t.JSON(payload.NewFields(r, tok, now), limit(tok.Use))
	if err != nil {
		return form{}, err
	}
	var p map[string]json.RawMessage
	if err := json.Unmarshal(b, &p); err != nil || p == nil {
		return form{}, fmt.Errorf("template: makes no JSON object for a push of kind %s", r.Kind)
	}
	raw, ok := p["aps"]
	if !ok {
		aps, kind := usual(r.Kind, tok.Use, alerts)
		if p["aps"], err = json.Marshal(aps); err != nil {
			return form{}, err
		}
		if b, err = json.Marshal(p); err != nil {
			return form{}, err
		}
		if len(b) > limit(tok.Use) {
			return form{}, errors.New("template: too long with its aps")
		}
		return form{b, kind}, nil
	}
	var aps struct {
		Alert, Badge, Sound json.RawMessage
		ContentAvailable    int `json:"content-available"`
	}
	if err := json.Unmarshal(raw, &aps); err != nil {
		return form{}, fmt.Errorf("template: makes an aps that is no dictionary of Apple's for a push of kind %s", r.Kind)
	}
	switch {
	case tok.Use == push.VoIP:
		return form{b, apns2.PushTypeVOIP}, nil
	case aps.Alert != nil || aps.Badge != nil || aps.Sound != nil:
		return form{b, apns2.PushTypeAlert}, nil
	case aps.ContentAvailable != 1:
		return form{}, fmt.Errorf("template: makes an aps for a push of kind %s that neither shows something (alert, badge, sound) nor has \"content-available\": 1", r.Kind)
	}
	return form{b, apns2.PushTypeBackground}, nil
}

// told is what push.Payload says without Data, which nearly all pushes are: a map
// costs three times as much to encode.
type told struct {
	APS       any    `json:"aps"`
	ExpiresAt string `json:"expires_at,omitempty"`
	Kind      string `json:"kind"`
	PushID    string `json:"push_id,omitempty"`
}

// plain is the form without a template. Data that does not fit is left out.
func plain(r *push.Request, tok push.Token, alerts map[push.Kind]string) form {
	aps, kind := usual(r.Kind, tok.Use, alerts)
	build := func(r *push.Request) []byte {
		var p any
		if said := push.Payload(r); len(r.Data) == 0 {
			p = told{aps, said["expires_at"], said["kind"], said["push_id"]}
		} else {
			all := make(map[string]any, len(said)+1)
			for k, v := range said {
				all[k] = v
			}
			all["aps"] = aps
			p = all
		}
		b, err := json.Marshal(p)
		if err != nil {
			return nil // strings and numbers always encode
		}
		return b
	}
	b := build(r)
	if len(b) > limit(tok.Use) {
		bare := *r
		bare.Data = nil
		b = build(&bare)
	}
	return form{b, kind}
}

// usual is the aps dictionary of a push, and its type.
func usual(k push.Kind, u push.Use, alerts map[push.Kind]string) (map[string]any, apns2.EPushType) {
	text := alerts[k]
	switch {
	case u == push.VoIP:
		return map[string]any{}, apns2.PushTypeVOIP
	case text != "":
		return map[string]any{
			"alert": map[string]string{"title": text}, "sound": "default", "mutable-content": 1,
		}, apns2.PushTypeAlert
	default:
		return map[string]any{"content-available": 1}, apns2.PushTypeBackground
	}
}
