"""Django's admin, for people and teams until Dailies' own pages for them. Money and work are not edited here."""

from django import forms
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.forms import ReadOnlyPasswordHashField
from django.http import HttpRequest

from generations.models import LedgerEntry, Membership, Team, User


class NewPerson(forms.ModelForm):
    password = forms.CharField(widget=forms.PasswordInput, min_length=12)

    class Meta:
        model = User
        fields = ["email", "name", "is_staff"]

    def save(self, commit: bool = True) -> User:
        user = super().save(commit=False)
        user.email = user.email.lower()
        user.is_superuser = user.is_staff
        user.set_password(self.cleaned_data["password"])
        if commit:
            user.save()
        return user


class ChangedPerson(forms.ModelForm):
    password = ReadOnlyPasswordHashField(help_text='<a href="../password/">Change the password</a>.')

    class Meta:
        model = User
        fields = ["email", "name", "password", "is_active", "is_staff", "is_superuser"]


class Places(admin.TabularInline):
    model = Membership
    extra = 1


@admin.register(User)
class PersonAdmin(UserAdmin):
    form = ChangedPerson
    add_form = NewPerson
    ordering = ["email"]
    list_display = ["email", "name", "is_staff", "is_active", "last_login"]
    search_fields = ["email", "name"]
    list_filter = ["is_staff", "is_active"]
    filter_horizontal = []
    fieldsets = [(None, {"fields": ["email", "name", "password", "is_active", "is_staff", "is_superuser"]})]
    add_fieldsets = [(None, {"fields": ["email", "name", "password", "is_staff"]})]
    inlines = [Places]


@admin.register(Team)
class TeamAdmin(admin.ModelAdmin):
    list_display = ["name", "created_at"]
    inlines = [Places]


@admin.register(LedgerEntry)
class LedgerAdmin(admin.ModelAdmin):
    """The books can be read, and nothing else."""

    list_display = ["at", "kind", "held", "spent", "user", "team", "generation", "why", "demo"]
    list_filter = ["kind", "demo", "team"]
    date_hierarchy = "at"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: LedgerEntry | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: LedgerEntry | None = None) -> bool:
        return False
