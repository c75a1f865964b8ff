package event

// Detail is how much of an event somebody may see. Each includes those below it.
type Detail uint8

// The levels of Detail.
const (
	// Plain has nothing of what wakes a phone but the push service's name.
	Plain Detail = iota
	// Params has pn-param, too, which names an app, a project or a key of a phone.
	Params
	// Tokens has Secrets, too.
	Tokens
)

// DetailOf returns the level from which on the form of e stays the same.
func DetailOf(e Event) Detail {
	switch e := e.(type) {
	case PushSend:
		return Tokens
	case Registration:
		return detailOf(e.Param)
	case RefreshDue:
		return detailOf(e.Param)
	case PushRequested:
		return detailOf(e.Param)
	}
	return Plain
}

func detailOf(param string) Detail {
	if param == "" {
		return Plain
	}
	return Params
}

// param is pn-param as d shows it.
func (d Detail) param(p string) string {
	if d < Params {
		return ""
	}
	return p
}
