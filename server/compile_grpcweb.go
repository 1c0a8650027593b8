package server

import "github.com/weirlb/weir/l7"

// grpcWebPlan is a grpcWeb middleware.
type grpcWebPlan struct{ origins []string }

func (p grpcWebPlan) make(name string) (*l7.Middleware, error) {
	return l7.GRPCWeb(name, p.origins), nil
}
