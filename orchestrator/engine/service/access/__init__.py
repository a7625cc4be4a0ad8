"""Access to stored jobs: who may see and change which, and changes of stored job trees."""
