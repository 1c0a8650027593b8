package server

import (
	"errors"

	"github.com/weirlb/weir/config"
)

// clusterKeys are the secrets of the cluster's key file, none if no file is named. What is wrong with it is noted with the
// file and its lines, and shows nothing of what stands there.
func (c *compiler) clusterKeys() [][]byte {
	n := c.cfg.Cluster
	if n == nil || n.KeyFile == "" {
		return nil
	}
	keys, err := config.ParseClusterKeys(n.KeyFile, c.files[n.KeyFile])
	var wrong config.Problems
	if errors.As(err, &wrong) {
		c.problems = append(c.problems, wrong...)
	}
	return keys
}
