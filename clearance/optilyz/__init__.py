"""What Optilyz prints and posts: recipients, requests and replies."""
