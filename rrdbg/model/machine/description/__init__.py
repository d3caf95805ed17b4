"""What a machine that somebody else describes may be made of: a closed list, read strictly and written anew."""
