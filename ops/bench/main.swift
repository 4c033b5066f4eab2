print("tallystick")
