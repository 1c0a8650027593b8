package server

import (
	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/l7"
	"github.com/weirlb/weir/l7/route"
)

// charactersPlan is an encodedCharacters middleware.
type charactersPlan struct{ refused route.Encoded }

func (p charactersPlan) make(name string) (*l7.Middleware, error) {
	return l7.EncodedCharacters(name, p.refused), nil
}

func refusedIn(e config.EncodedCharacters) (refused route.Encoded) {
	for _, c := range [...]struct {
		allowed bool
		char    route.Encoded
	}{
		{e.AllowEncodedSlash, route.EncodedSlash}, {e.AllowEncodedBackSlash, route.EncodedBackslash},
		{e.AllowEncodedSemicolon, route.EncodedSemicolon}, {e.AllowEncodedPercent, route.EncodedPercent},
		{e.AllowEncodedQuestionMark, route.EncodedQuestionMark}, {e.AllowEncodedHash, route.EncodedHash},
	} {
		if !c.allowed {
			refused |= c.char
		}
	}
	return refused
}
